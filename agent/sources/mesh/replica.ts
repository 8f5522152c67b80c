import type { Clock } from '../../lib/clock.ts'
import type { EtcdEndpoint } from '../../lib/etcd.ts'
import type { Log } from '../../lib/log.ts'
import type { WireResource } from '../../types/wire/keys.ts'
import type { ClusterIds } from './cluster-ids.ts'
import type { PeerConfig } from './peer-config.ts'
import { Backoff } from '../../lib/backoff.ts'
import { delay } from '../../lib/clock.ts'
import { describeError } from '../../lib/errors.ts'
import { EtcdError } from '../../lib/etcd.ts'
import { EtcdSession } from '../../lib/etcd-session.ts'
import { resourcePrefix, WIRE_RESOURCES } from '../../types/wire/keys.ts'
import { PrefixMirror, REWOUND } from './etcd-mirror.ts'
import { PeerSigns } from './peer-signs.ts'
import { readPeerConfig, watchCanaries, watchPeer } from './peer-config.ts'

/** What is done with what a remote cluster has. Values are as in etcd, one character for each byte; keys are below their prefix. */
export interface ReplicaHandler {
  /** Connected, and this is what the cluster says about itself; nothing is read before the promise resolves. */
  connected(peer: PeerConfig, etcdClusterId: string | undefined): Promise<void>
  put(resource: WireResource, tail: string, value: string): void
  delete(resource: WireResource, tail: string): void
  /** All there is of `resource` was reported; again after every list. */
  synced(resource: WireResource): void
  /** Another attempt begins after this one failed; `message` says why. What was reported stays true as far as anyone knows. */
  failed(error: unknown): void
  /** Connected, and waiting for this. */
  waiting(message: string): void
  /** Evidence that the cluster lives; often. */
  alive(): void
}

export interface ReplicaOptions {
  readonly name: string
  readonly endpoint: EtcdEndpoint
  readonly ids: ClusterIds
  readonly handler: ReplicaHandler
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  readonly pingMs: number
  readonly heartbeatStaleMs?: number | undefined
}

/**
 * Follows everything a remote cluster exports, over one connection, without looking into it.
 *
 * Each resource is read from when its canary is seen, so that a store that is being filled is not taken for a small one.
 * A lost connection reports nothing: what is gone for good is found by the next list.
 */
export class Replica {
  readonly #options: ReplicaOptions
  readonly #mirrors: ReadonlyMap<WireResource, PrefixMirror>
  readonly #backoff: Backoff
  readonly #stopped = new AbortController()
  #endpoint: EtcdEndpoint
  #session: EtcdSession | undefined
  #wake: () => void = () => undefined
  #running: Promise<void> | undefined
  readonly #signs: PeerSigns
  /** The session has shown whose etcd it is. */
  #known = false
  #id = 0
  /** Which store the mirrors' positions belong to. */
  #store = ''

  constructor(options: ReplicaOptions) {
    const { name, handler, random } = options
    this.#options = options
    this.#endpoint = options.endpoint
    this.#signs = new PeerSigns(options.clock, options.heartbeatStaleMs)
    this.#backoff = new Backoff({ baseMs: 250, maxMs: 5000, random })
    this.#mirrors = new Map(
      WIRE_RESOURCES.map((resource) => {
        const mirror = new PrefixMirror(
          resourcePrefix(resource, name, false),
          {
            put: (tail, value) => handler.put(resource, tail, value),
            delete: (tail) => handler.delete(resource, tail),
          },
          'latin1',
        )
        return [resource, mirror]
      }),
    )
  }

  /** An earlier process reported this key: it is reported deleted once a complete list does not have it. */
  assume(resource: WireResource, tail: string): void {
    this.#mirrors.get(resource)!.assume(tail)
  }

  count(resource: WireResource): number {
    return this.#mirrors.get(resource)!.size
  }

  start(): void {
    this.#running = this.#run()
  }

  /** For people: what is wrong with the cluster, though its etcd answers. */
  get complaint(): string {
    return this.#signs.complaint
  }

  /** Another way to the same cluster. */
  reconfigure(endpoint: EtcdEndpoint): void {
    this.#endpoint = endpoint
    this.#backoff.reset()
    this.#session?.close(new EtcdError('etcd-reconfigured', 'the configuration of the cluster changed'))
    this.#wake()
  }

  /** Nothing is reported any more when it resolves. */
  async stop(): Promise<void> {
    this.#stopped.abort(new EtcdError('stopped', 'stopped'))
    await this.#running
  }

  /** The cluster is no longer part of the mesh: another one may have its id. */
  release(): void {
    this.#options.ids.release(this.#id, this.#options.name)
  }

  async #run(): Promise<void> {
    const { clock, handler, log } = this.#options
    const { signal } = this.#stopped
    while (!signal.aborted) {
      try {
        await this.#connect(signal)
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof EtcdError && error.code === REWOUND) this.#store = ''
        handler.failed(error)
        log.warn({ err: error }, `connection ended: ${describeError(error)}`)
        const wake = new AbortController()
        this.#wake = () => wake.abort(new EtcdError('etcd-reconfigured', 'the configuration changed'))
        // Woken early, by a stop or another configuration: go on.
        await delay(clock, this.#backoff.next(), AbortSignal.any([signal, wake.signal])).catch(() => undefined)
      }
    }
  }

  /** One session from its first call to its end; always rejects with the reason it ended. */
  async #connect(signal: AbortSignal): Promise<never> {
    const { name, clock, handler } = this.#options
    const onAlive = (): void => {
      if (this.#known && this.#signs.alive) handler.alive()
    }
    const session = new EtcdSession({ endpoint: this.#endpoint, clock, pingMs: this.#options.pingMs, onAlive })
    this.#session = session
    const onStop = (): void => session.close(signal.reason as Error)
    signal.addEventListener('abort', onStop, { once: true })
    try {
      const peer = await readPeerConfig(session, this.#options, (message) => handler.waiting(message))
      this.#adopt(peer)
      await Promise.race([handler.connected(peer, session.clusterId), session.failure])
      await watchPeer(session, clock, name, peer, this.#signs)
      this.#known = true
      onAlive()
      const canary = await watchCanaries(session, name, peer.config, WIRE_RESOURCES)
      return await Promise.race([session.failure, ...this.#follow(session, peer, canary)])
    } catch (error) {
      // What ended the session says more than what a call on it ran into.
      throw session.ended.aborted ? session.ended.reason : error
    } finally {
      signal.removeEventListener('abort', onStop)
      session.close(new EtcdError('etcd-closed', 'session closed'))
      this.#known = false
      this.#session = undefined
    }
  }

  #follow(
    session: EtcdSession,
    peer: PeerConfig,
    canary: (resource: WireResource) => Promise<void>,
  ): readonly Promise<never>[] {
    const missing = new Set<WireResource>(WIRE_RESOURCES)
    return WIRE_RESOURCES.map(async (resource) => {
      // An exporter that does not know service exports has no canary for them; reading finds nothing, which is right.
      if (resource !== 'serviceexports' || peer.config.serviceExportsEnabled !== undefined) await canary(resource)
      return this.#mirrors.get(resource)!.run(session, () => {
        missing.delete(resource)
        if (missing.size === 0) this.#backoff.reset()
        this.#options.handler.synced(resource)
      })
    })
  }

  /** @throws PeerError when its id cannot be had */
  #adopt(peer: PeerConfig): void {
    const { ids, name } = this.#options
    const { id, cached } = peer.config
    ids.check(id, name)
    if (this.#id !== id) this.release()
    ids.reserve(id, name)
    this.#id = id
    this.#signs.found(peer.config, peer.copierAt)
    if (peer.store === undefined || peer.store !== this.#store) {
      for (const [resource, mirror] of this.#mirrors) mirror.restart(resourcePrefix(resource, name, cached))
    }
    this.#store = peer.store ?? ''
  }
}
