import type { Clock } from '../../lib/clock.ts'
import type { EtcdEndpoint } from '../../lib/etcd.ts'
import type { EtcdChannels } from '../../lib/etcd-channel.ts'
import type { Log } from '../../lib/log.ts'
import type { SyncGates } from '../../state/sync.ts'
import type { Writer } from '../../state/writer.ts'
import type { MeshResource } from '../../types/cluster.ts'
import type { ClusterIds } from './cluster-ids.ts'
import { Backoff } from '../../lib/backoff.ts'
import { delay } from '../../lib/clock.ts'
import { EtcdError } from '../../lib/etcd.ts'
import { explainTls } from '../../lib/tls-errors.ts'
import { describeError, hintOf } from '../../lib/errors.ts'
import { meshSource } from '../../state/sync.ts'
import { MESH_RESOURCES } from '../../types/cluster.ts'
import { ClusterRow, NOTHING_SYNCED } from './cluster-row.ts'
import { REWOUND } from './etcd-mirror.ts'
import { RemoteRecords } from './remote-records.ts'
import { EtcdSession } from '../../lib/etcd-session.ts'
import { Liveness } from './liveness.ts'
import type { PeerConfig } from './peer-config.ts'
import { PeerError } from './cluster-ids.ts'
import { readPeerConfig, watchCanaries, watchPeer } from './peer-config.ts'
import { PeerSigns, SILENT } from './peer-signs.ts'
import type { CredentialTiming } from './cluster-credentials.ts'
import { ClusterCredentials, RENEWED } from './cluster-credentials.ts'

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

/**
 * One remote cluster: connects to its etcd, keeps rows in step with what it exports, and says in its Cluster row how that
 * goes. Losing the connection changes no row but that one; rows go when the peer deletes them, when its services were not
 * heard of for the cache TTL, or when the cluster is removed from the configuration.
 */
export class RemoteCluster {
  readonly #options: RemoteClusterOptions
  readonly #log: Log
  readonly #row: ClusterRow
  readonly #records: RemoteRecords
  readonly #liveness: Liveness
  readonly #signs: PeerSigns
  readonly #credentials: ClusterCredentials
  readonly #backoff: Backoff
  readonly #stopped = new AbortController()
  #endpoint: EtcdEndpoint
  #session: EtcdSession | undefined
  #running: Promise<void> | undefined
  #wake: () => void = () => undefined
  /** Which store the positions of the records belong to. */
  #store = ''
  #compactions = 0

  constructor(options: RemoteClusterOptions) {
    this.#options = options
    this.#endpoint = options.endpoint
    this.#log = options.log.child({ cluster: options.name })
    this.#row = new ClusterRow(options.writer, options.name)
    this.#records = new RemoteRecords(options.name, options.writer, this.#log)
    this.#signs = new PeerSigns(options.clock, options.heartbeatStaleMs, () => this.#onSigns())
    this.#backoff = new Backoff({ baseMs: 250, maxMs: 5000, random: options.random })
    this.#credentials = new ClusterCredentials({
      ...options,
      ...options.credentials,
      log: this.#log,
      session: () => this.#session,
      publish: (certificates) => this.#row.publish({ certificates }),
    })
    this.#liveness = new Liveness({
      ...options,
      onUnreachable: () => this.#onUnreachable(),
      onExpired: () => this.#onExpired(),
      onReturned: () => this.#onReturned(),
    })
  }

  start(): void {
    this.#options.sync.register(meshSource(this.#options.name))
    this.#row.publish({})
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
    this.#row.to('removed', 'no longer configured')
    await this.#drain()
    this.#options.writer.deleteCluster(this.#options.name)
    this.#credentials.forget()
    this.#options.sync.unregister(meshSource(this.#options.name))
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      this.#row.to('connecting', this.#row.now.message)
      try {
        await this.#connect(signal)
      } catch (error) {
        if (signal.aborted) break
        if (error instanceof EtcdError && error.code === RENEWED) {
          this.#liveness.settled(false)
          this.#row.to('disconnected', error.message) // planned, and soon over: no failure
          continue
        }
        this.#onFailure(error)
        await this.#pause(signal)
      }
    }
    if (this.#row.now.state !== 'disconnected') this.#row.to('disconnected', 'stopped')
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
      const peer = await readPeerConfig(session, this.#options, (message) => this.#row.publish({ message }))
      await this.#adopt(peer, session.clusterId)
      this.#row.to('syncing', '')
      await watchPeer(session, this.#options.clock, this.#options.name, peer, this.#signs)
      this.#onSigns()
      if (this.#liveness.expired && !this.#signs.alive) {
        this.#row.publish({ message: this.#signs.complaint })
        await Promise.race([this.#signs.next(), session.failure])
      }
      const canary = await watchCanaries(session, this.#options.name, peer.config)
      const missing = new Set<MeshResource>(MESH_RESOURCES)
      const mirrors = MESH_RESOURCES.map(async (resource) => {
        await canary(resource)
        return this.#records.follow(resource, session, () => this.#onSynced(resource, missing))
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
    if (this.#row.now.state === 'connecting') return
    const { alive, copy } = this.#signs
    if (copy?.renewed !== this.#row.now.copy?.renewed) this.#onSigns()
    else if (alive && this.#row.complained) this.#row.publish({ message: this.#signs.complaint })
    if (alive) this.#liveness.evidence()
  }

  /** What the copier says about the cluster, or whether there is a copier, has changed. */
  #onSigns(): void {
    const { alive, complaint, copy, silenceMs } = this.#signs
    this.#row.publish(complaint === '' && !this.#row.complained ? { copy } : { copy, message: complaint })
    if (alive) this.#liveness.evidence()
    else this.#liveness.silentFor(silenceMs)
  }

  /** Takes what the peer says about itself; a new id means that all we have is of a cluster that no longer exists. */
  async #adopt(peer: PeerConfig, etcdClusterId: string | undefined): Promise<void> {
    const { ids, name } = this.#options
    const { id, cached, syncedCanaries, serviceExportsEnabled } = peer.config
    ids.check(id, name)
    const known = this.#records.peer.id
    if (known !== 0 && known !== id) await this.#drain()
    ids.reserve(id, name)
    this.#records.belongTo(id)
    if (peer.store === undefined || peer.store !== this.#store) this.#records.restart(cached)
    this.#store = peer.store ?? ''
    this.#signs.found(peer.config, peer.copierAt)
    this.#options.writer.setProblems(this.#peerOrigin, [])
    this.#row.publish({
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
    const { compactions } = this.#records
    if (compactions > this.#compactions) this.#row.count('compacted')
    this.#compactions = compactions
    this.#row.publish({ synced: { ...this.#row.now.synced, [resource]: true } })
    if (missing.size > 0 || this.#row.now.state !== 'syncing') return
    this.#row.to('ready', this.#signs.complaint)
    this.#backoff.reset()
    this.#options.writer.synced(meshSource(this.#options.name))
    this.#liveness.settled(true)
    this.#log.info({ id: this.#records.peer.id }, 'cluster is in step')
  }

  #onFailure(error: unknown): void {
    this.#liveness.settled(false)
    const message = describeError(error)
    this.#row.publish({ failures: this.#row.now.failures + 1, lastFailure: this.#options.clock.date().getTime() })
    this.#row.count(error instanceof Error ? error : new Error(message))
    if (error instanceof EtcdError && error.code === REWOUND) this.#store = '' // no position in it is worth anything
    this.#row.to('disconnected', message)
    this.#log.warn({ err: error }, `connection ended: ${message}`)
    if (error instanceof PeerError) {
      const hint = hintOf(error) ?? 'the log has the details'
      this.#options.writer.setProblems(this.#peerOrigin, [{ code: error.code, message: error.message, hint }])
    }
  }

  #onUnreachable(): void {
    this.#log.warn({}, 'no sign of life: its backends are avoided while others are left')
    this.#row.count('unreachable')
    this.#row.publish({ unreachable: true, message: this.#row.now.message || this.#signs.complaint || SILENT })
  }

  #onReturned(): void {
    this.#log.info({}, 'it is back: its backends are used as before')
    this.#row.publish({ unreachable: false, message: this.#signs.complaint })
  }

  #onExpired(): void {
    this.#log.warn({}, 'no sign of life for the cache TTL: its backends are removed')
    // Positions of the session that may still stand are void: it has to list again.
    this.#session?.close(new EtcdError('etcd-silent', 'no sign of life'))
    void this.#records.drainServices()
    this.#row.count('expired')
    this.#row.publish({ synced: { ...this.#row.now.synced, services: false } })
  }

  async #drain(): Promise<void> {
    const { id, name } = this.#records.peer
    await this.#records.drain()
    this.#options.writer.setProblems(this.#peerOrigin, [])
    this.#options.ids.release(id, name)
    this.#row.publish({ synced: NOTHING_SYNCED })
  }

  get #peerOrigin(): string {
    return `mesh/${this.#options.name}/config`
  }
}
