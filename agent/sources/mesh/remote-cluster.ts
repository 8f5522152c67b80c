import type { Clock } from '../../lib/clock.ts'
import type { EtcdEndpoint } from '../../lib/etcd.ts'
import type { EtcdChannels } from '../../lib/etcd-channel.ts'
import type { Log } from '../../lib/log.ts'
import type { SyncGates } from '../../state/sync.ts'
import type { Writer } from '../../state/writer.ts'
import type { Cluster, ClusterState, MeshResource } from '../../types/cluster.ts'
import type { ClusterIds } from './cluster-ids.ts'
import type { Importer, Peer } from './importers.ts'
import { Backoff } from '../../lib/backoff.ts'
import { delay } from '../../lib/clock.ts'
import { EtcdError } from '../../lib/etcd.ts'
import { explainTls } from '../../lib/tls-errors.ts'
import { describeError, hintOf } from '../../lib/errors.ts'
import { meshSource } from '../../state/sync.ts'
import { MESH_RESOURCES } from '../../types/cluster.ts'
import { WireError } from '../../types/wire/go-json.ts'
import { resourcePrefix } from '../../types/wire/keys.ts'
import type { MirrorHandler } from './etcd-mirror.ts'
import type { KeyValue } from '../../lib/etcd-wire.ts'
import { PrefixMirror, REWOUND } from './etcd-mirror.ts'
import { AddressRevisions } from './revisions.ts'
import { EtcdSession } from '../../lib/etcd-session.ts'
import { createImporters } from './importers.ts'
import { Liveness } from './liveness.ts'
import { countLoss } from './losses.ts'
import type { PeerConfig } from './peer-config.ts'
import { PeerError } from './cluster-ids.ts'
import { readPeerConfig, watchCanaries, watchPeer } from './peer-config.ts'
import { PeerSigns, SILENT } from './peer-signs.ts'
import type { CredentialTiming } from './cluster-credentials.ts'
import { ClusterCredentials, RENEWED } from './cluster-credentials.ts'
import { RecordProblems } from './record-problems.ts'

export interface RemoteClusterOptions {
  readonly name: string
  readonly endpoint: EtcdEndpoint
  /** Connections, shared with other clusters that are read from the same etcd. */
  readonly channels: EtcdChannels
  readonly writer: Writer
  readonly sync: SyncGates
  readonly ids: ClusterIds
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  readonly unreachableAfterMs: number
  readonly cacheTtlMs: number
  readonly holdDownMs: number
  /** How long the exporter may be without a heartbeat; default 130 s. */
  readonly heartbeatStaleMs?: number | undefined
  /** See `ClusterCredentials`. */
  readonly credentials?: CredentialTiming | undefined
}

const NEXT: Readonly<Record<ClusterState, readonly ClusterState[]>> = {
  disconnected: ['connecting', 'removed'],
  connecting: ['syncing', 'disconnected', 'removed'],
  syncing: ['ready', 'disconnected', 'removed'],
  ready: ['disconnected', 'removed'],
  removed: [],
}

const NOTHING_SYNCED: Cluster['synced'] = { nodes: false, services: false, endpoints: false, identities: false }

/**
 * One remote cluster: connects to its etcd, keeps rows in step with what it exports, and says in its Cluster row how that
 * goes. Losing the connection changes no row but that one; rows go when the peer deletes them, when its services were not
 * heard of for the cache TTL, or when the cluster is removed from the configuration.
 */
export class RemoteCluster {
  readonly #options: RemoteClusterOptions
  readonly #log: Log
  readonly #importers: Readonly<Record<MeshResource, Importer>>
  readonly #mirrors: Readonly<Record<MeshResource, PrefixMirror>>
  readonly #problems: RecordProblems
  readonly #liveness: Liveness
  readonly #signs: PeerSigns
  readonly #credentials: ClusterCredentials
  readonly #backoff: Backoff
  readonly #stopped = new AbortController()
  #endpoint: EtcdEndpoint
  #session: EtcdSession | undefined
  #running: Promise<void> | undefined
  #wake: () => void = () => undefined
  #peer: Peer
  /** Which store the mirrors' positions belong to. */
  #store = ''
  #compactions = 0
  #row: Cluster

  constructor(options: RemoteClusterOptions) {
    this.#options = options
    this.#endpoint = options.endpoint
    this.#log = options.log.child({ cluster: options.name })
    this.#peer = { name: options.name, id: 0 }
    this.#importers = createImporters(options.writer)
    this.#problems = new RecordProblems(options.writer, options.name)
    const mirror = (resource: MeshResource): PrefixMirror =>
      new PrefixMirror(resourcePrefix(resource, options.name, false), {
        put: (tail, value) => this.#put(resource, tail, value),
        delete: (tail) => this.#delete(resource, tail),
      })
    this.#mirrors = {
      nodes: mirror('nodes'),
      services: mirror('services'),
      endpoints: this.#endpointsMirror(),
      identities: mirror('identities'),
    }
    this.#signs = new PeerSigns(options.clock, options.heartbeatStaleMs, () => this.#onSigns())
    this.#backoff = new Backoff({ baseMs: 250, maxMs: 5000, random: options.random })
    this.#credentials = new ClusterCredentials({
      ...options,
      ...options.credentials,
      log: this.#log,
      session: () => this.#session,
      publish: (certificates) => this.#publish({ certificates }),
    })
    this.#row = {
      name: options.name,
      id: 0,
      state: 'disconnected',
      unreachable: false,
      synced: NOTHING_SYNCED,
      failures: 0,
      lastFailure: undefined,
      message: 'not yet connected',
      config: undefined,
      etcdClusterId: undefined,
    }
    this.#liveness = new Liveness({
      ...options,
      onUnreachable: () => this.#onUnreachable(),
      onExpired: () => this.#onExpired(),
      onReturned: () => this.#publish({ unreachable: false, message: this.#signs.complaint }),
    })
  }

  start(): void {
    this.#options.sync.register(meshSource(this.#options.name))
    this.#options.writer.upsertCluster(this.#row)
    this.#credentials.follow(this.#endpoint)
    this.#running = this.#run().catch((error: unknown) => this.#log.error({ err: error }, 'import ended'))
  }

  /** Another way to the same cluster: rows stay, the connection is made anew at once. */
  reconfigure(endpoint: EtcdEndpoint): void {
    this.#endpoint = endpoint
    this.#credentials.follow(endpoint)
    this.#backoff.reset()
    this.#session?.close(new EtcdError('etcd-reconfigured', 'the configuration of the cluster changed'))
    this.#wake()
  }

  /** Ends the connection; rows stay as they are. */
  async stop(): Promise<void> {
    this.#liveness.stop()
    this.#stopped.abort(new EtcdError('stopped', 'stopped'))
    await Promise.all([this.#running, this.#credentials.stop()])
  }

  /** The cluster is no longer part of the mesh: everything it contributed goes, and nobody waits for it any more. */
  async remove(): Promise<void> {
    await this.stop()
    this.#to('removed', 'no longer configured')
    this.#drain()
    this.#options.writer.deleteCluster(this.#options.name)
    this.#credentials.forget()
    this.#options.sync.unregister(meshSource(this.#options.name))
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      this.#to('connecting', this.#row.message)
      try {
        await this.#connect(signal)
      } catch (error) {
        if (signal.aborted) break
        if (error instanceof EtcdError && error.code === RENEWED) {
          this.#liveness.settled(false)
          this.#to('disconnected', error.message) // planned, and soon over: no failure
          continue
        }
        this.#onFailure(error)
        await this.#pause(signal)
      }
    }
    if (this.#row.state !== 'disconnected') this.#to('disconnected', 'stopped')
  }

  /** Waits before the next attempt, unless the configuration changes meanwhile. */
  async #pause(signal: AbortSignal): Promise<void> {
    const wake = new AbortController()
    this.#wake = () => wake.abort(new EtcdError('etcd-reconfigured', 'the configuration changed'))
    const onStop = (): void => wake.abort(signal.reason)
    signal.addEventListener('abort', onStop, { once: true })
    await delay(this.#options.clock, this.#backoff.next(), wake.signal).catch(() => undefined) // woken early: go on
    signal.removeEventListener('abort', onStop)
    this.#wake = () => undefined
  }

  /** One session from its first call to its end; always rejects with the reason it ended. */
  async #connect(signal: AbortSignal): Promise<never> {
    const session = new EtcdSession({
      endpoint: this.#endpoint,
      channels: this.#options.channels,
      clock: this.#options.clock,
      pingMs: Math.min(5000, this.#options.unreachableAfterMs / 4),
      onAlive: () => this.#onAlive(),
    })
    this.#session = session
    const onStop = (): void => session.close(signal.reason as Error)
    signal.addEventListener('abort', onStop, { once: true })
    try {
      const peer = await readPeerConfig(session, this.#options, (message) => this.#publish({ message }))
      this.#adopt(peer, session.clusterId)
      this.#to('syncing', '')
      await watchPeer(session, this.#options.clock, this.#options.name, peer, this.#signs)
      this.#onSigns()
      if (this.#liveness.expired && !this.#signs.alive) {
        this.#publish({ message: this.#signs.complaint })
        await Promise.race([this.#signs.next(), session.failure])
      }
      const canary = await watchCanaries(session, this.#options.name, peer.config)
      const missing = new Set<MeshResource>(MESH_RESOURCES)
      const mirrors = MESH_RESOURCES.map(async (resource) => {
        await canary(resource)
        return this.#mirrors[resource].run(session, () => this.#onSynced(resource, missing))
      })
      return await Promise.race([session.failure, ...mirrors])
    } catch (error) {
      // What ended the session says more than what a call on it ran into.
      throw explainTls(session.ended.aborted ? session.ended.reason : error)
    } finally {
      signal.removeEventListener('abort', onStop)
      session.close(new EtcdError('etcd-closed', 'session closed'))
      this.#session = undefined
    }
  }

  /** Until it has shown who it is, and what its records are worth, an etcd that answers is no evidence that the cluster lives. */
  #onAlive(): void {
    if (this.#row.state === 'connecting') return
    const { alive, copy } = this.#signs
    if (copy?.renewed !== this.#row.copy?.renewed) this.#onSigns()
    else if (alive && this.#complained) this.#publish({ message: this.#signs.complaint })
    if (alive) this.#liveness.evidence()
  }

  /** What the copier says about the cluster, or whether there is a copier, has changed. */
  #onSigns(): void {
    const { alive, complaint, copy, silenceMs } = this.#signs
    this.#publish(complaint === '' && !this.#complained ? { copy } : { copy, message: complaint })
    if (alive) this.#liveness.evidence()
    else this.#liveness.silentFor(silenceMs)
  }

  /** Takes what the peer says about itself; a new id means that all we have is of a cluster that no longer exists. */
  #adopt(peer: PeerConfig, etcdClusterId: string | undefined): void {
    const { ids, name } = this.#options
    const { id, cached, syncedCanaries, serviceExportsEnabled } = peer.config
    ids.check(id, name)
    if (this.#peer.id !== 0 && this.#peer.id !== id) this.#drain()
    ids.reserve(id, name)
    this.#peer = { name, id }
    if (peer.store === undefined || peer.store !== this.#store) {
      for (const resource of MESH_RESOURCES) this.#mirrors[resource].restart(resourcePrefix(resource, name, cached))
    }
    this.#store = peer.store ?? ''
    this.#signs.found(peer.config)
    this.#options.writer.setProblems(this.#peerOrigin, [])
    this.#publish({
      id,
      etcdClusterId,
      copy: this.#signs.copy,
      config: {
        syncedCanaries,
        cached,
        serviceExports:
          serviceExportsEnabled === undefined ? 'unsupported' : serviceExportsEnabled ? 'enabled' : 'disabled',
      },
    })
  }

  #onSynced(resource: MeshResource, missing: Set<MeshResource>): void {
    missing.delete(resource)
    const compactions = MESH_RESOURCES.reduce((sum, each) => sum + this.#mirrors[each].compactions, 0)
    if (compactions > this.#compactions) this.#row = countLoss(this.#row, 'compacted')
    this.#compactions = compactions
    this.#publish({ synced: { ...this.#row.synced, [resource]: true } })
    if (missing.size > 0 || this.#row.state !== 'syncing') return
    this.#to('ready', this.#signs.complaint)
    this.#backoff.reset()
    this.#options.writer.synced(meshSource(this.#options.name))
    this.#liveness.settled(true)
    this.#log.info({ id: this.#peer.id }, 'cluster is in step')
  }

  #onFailure(error: unknown): void {
    this.#liveness.settled(false)
    const message = describeError(error)
    this.#publish({ failures: this.#row.failures + 1, lastFailure: this.#options.clock.date().getTime() })
    this.#row = countLoss(this.#row, error instanceof Error ? error : new Error(message))
    if (error instanceof EtcdError && error.code === REWOUND) this.#store = '' // no position in it is worth anything
    this.#to('disconnected', message)
    this.#log.warn({ err: error }, `connection ended: ${message}`)
    if (error instanceof PeerError) {
      const hint = hintOf(error) ?? 'the log has the details'
      this.#options.writer.setProblems(this.#peerOrigin, [{ code: error.code, message: error.message, hint }])
    }
  }

  #onUnreachable(): void {
    this.#log.warn({}, 'no sign of life: its backends are avoided while others are left')
    this.#row = countLoss(this.#row, 'unreachable')
    this.#publish({ unreachable: true, message: this.#row.message || this.#signs.complaint || SILENT })
  }

  #onExpired(): void {
    this.#log.warn({}, 'no sign of life for the cache TTL: its backends are removed')
    // Positions of the session that may still stand are void: it has to list again.
    this.#session?.close(new EtcdError('etcd-silent', 'no sign of life'))
    this.#mirrors.services.drain()
    this.#row = countLoss(this.#row, 'expired')
    this.#publish({ synced: { ...this.#row.synced, services: false } })
  }

  /** Of addresses there may be a million. */
  #endpointsMirror(): PrefixMirror {
    const prefix = resourcePrefix('endpoints', this.#options.name, false)
    const handler: MirrorHandler = {
      put: (tail, value) => this.#put('endpoints', tail, value),
      delete: (tail) => this.#delete('endpoints', tail),
      take: (kv, tailAt) => this.#take(kv, tailAt),
    }
    return new PrefixMirror(prefix, handler, 'utf8', new AddressRevisions())
  }

  #take(kv: KeyValue, tailAt: number): boolean {
    try {
      if (this.#importers.endpoints.take?.(this.#peer, kv, tailAt) !== true) return false
      if (this.#problems.any) this.#problems.accept(kv.key.toString('utf8'))
      return true
    } catch {
      return false // `put` comes to the same end, and says so
    }
  }

  #put(resource: MeshResource, tail: string, value: string): void {
    try {
      this.#importers[resource].put(this.#peer, tail, value)
      if (this.#problems.any) this.#problems.accept(this.#keyOf(resource, tail))
    } catch (error) {
      const why = describeError(error)
      this.#problems.refuse(this.#keyOf(resource, tail), why)
      if (error instanceof WireError) this.#log.warn({ key: tail, resource }, `record refused: ${why}`)
      else this.#log.error({ key: tail, resource, err: error }, 'record could not be taken')
    }
  }

  #delete(resource: MeshResource, tail: string): void {
    if (this.#problems.any) this.#problems.accept(this.#keyOf(resource, tail))
    this.#importers[resource].delete(this.#peer, tail)
  }

  #keyOf(resource: MeshResource, tail: string): string {
    return resourcePrefix(resource, this.#options.name, this.#row.config?.cached ?? false) + tail
  }

  #drain(): void {
    for (const resource of MESH_RESOURCES) this.#mirrors[resource].drain()
    this.#problems.clear()
    this.#options.writer.setProblems(this.#peerOrigin, [])
    this.#options.ids.release(this.#peer.id, this.#options.name)
    this.#peer = { name: this.#options.name, id: 0 }
    this.#publish({ synced: NOTHING_SYNCED })
  }

  get #peerOrigin(): string {
    return `mesh/${this.#options.name}/config`
  }

  #to(state: ClusterState, message: string): void {
    if (!NEXT[this.#row.state].includes(state)) {
      throw new EtcdError('cluster-state', `cluster ${this.#options.name}: ${this.#row.state} cannot become ${state}`)
    }
    this.#publish({ state, message })
  }

  /** On a session that stands, a message is what is wrong with it all the same. */
  get #complained(): boolean {
    return this.#row.message !== '' && (this.#row.state === 'ready' || this.#row.state === 'syncing')
  }

  #publish(change: Partial<Cluster>): void {
    this.#row = { ...this.#row, ...change }
    this.#options.writer.upsertCluster(this.#row)
  }
}
