import type { Clock } from '../lib/clock.ts'
import type { EtcdEndpoint } from '../lib/etcd.ts'
import type { Log } from '../lib/log.ts'
import type { ClusterIds } from '../sources/mesh/cluster-ids.ts'
import type { PeerConfig } from '../sources/mesh/peer-config.ts'
import type { ReplicaHandler } from '../sources/mesh/replica.ts'
import type { LeasedStore } from '../targets/etcd/leased-store.ts'
import type { Cluster } from '../types/cluster.ts'
import type { WireResource } from '../types/wire/keys.ts'
import type { ClusterConfig } from '../types/wire/cluster-config.ts'
import type { ClusterLink } from '../types/wire/cluster-link.ts'
import { delay } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import { newCluster } from '../sources/mesh/cluster-row.ts'
import { countLoss } from '../sources/mesh/losses.ts'
import { CachedLink } from './cached-link.ts'
import { Replica } from '../sources/mesh/replica.ts'
import { rfc3339 } from '../targets/etcd/heartbeat-writer.ts'
import { KeyCopy } from '../targets/etcd/key-copy.ts'
import { decodeClusterConfig, encodeClusterConfig } from '../types/wire/cluster-config.ts'
import { canaryKey, clusterConfigKey, resourcePrefix, WIRE_RESOURCES } from '../types/wire/keys.ts'

/** How long readers have to leave between the word that a cluster goes and its going. */
const LEAVE_MS = 180_000

export interface CachedClusterOptions {
  readonly name: string
  /** Of the own cluster; whatever an earlier process wrote for this cluster has been read already. */
  readonly store: LeasedStore
  readonly ids: ClusterIds
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  /** Silence of the cluster after which readers of the copy are told of it. */
  readonly silentAfterMs: number
  /** How long the exporter may be without a heartbeat; default 130 s. */
  readonly heartbeatStaleMs?: number | undefined
}

/**
 * The copy of one remote cluster in the own cluster's etcd.
 *
 * INVARIANTS
 * - A key is deleted only because the remote cluster deleted it, a complete list of it does not have it, or the cluster was
 *   removed from the configuration. A connection that is lost, or a process that starts, deletes nothing.
 * - A canary is written after everything that a complete list had; it stays for as long as the copy is of the same cluster.
 * - Values are copied byte for byte. Cluster-config alone is written anew: it says that this is a copy, and whether the
 *   cluster it is of gives signs of life. That is written when it changes, and becomes good news only after the copy is right.
 */
export class CachedCluster {
  readonly #options: CachedClusterOptions
  readonly #log: Log
  readonly #copies: ReadonlyMap<WireResource, KeyCopy>
  readonly #announcements: KeyCopy
  /** What the connection that stands has not copied completely yet. */
  readonly #missing = new Set<WireResource>(WIRE_RESOURCES)
  readonly #gone = new AbortController()
  #replica: Replica | undefined
  /** Connections so far: what an earlier one completed says nothing about a cluster that came back as another one. */
  #connection = 0
  #complete = false
  /** What cluster-config is to say; undefined: nothing. */
  #wanted: string | undefined
  #config: ClusterConfig | undefined
  #link: CachedLink | undefined
  #row: Cluster

  constructor(options: CachedClusterOptions) {
    this.#options = options
    this.#log = options.log.child({ cluster: options.name })
    this.#wanted = options.store.held(clusterConfigKey(options.name))
    const shared = { ...options, log: this.#log }
    this.#copies = new Map(WIRE_RESOURCES.map((resource) => [resource, new KeyCopy(shared)]))
    this.#announcements = new KeyCopy(shared)
    this.#row = newCluster(options.name)
  }

  /** Connection and progress, for people. */
  get row(): Cluster {
    const row = this.#link?.silent === true ? { ...this.#row, unreachable: true } : this.#row
    const failing = [...this.#copies.values(), this.#announcements].find(({ lastError }) => lastError !== undefined)
    if (row.state === 'disconnected') return row
    if (failing === undefined) return row.message === '' ? { ...row, message: this.#link?.told.reason ?? '' } : row
    return { ...row, message: `cannot write the copy: ${describeError(failing.lastError)}` }
  }

  /** Since this process runs: whether everything has been copied at least once. */
  get complete(): boolean {
    return this.#complete
  }

  count(resource: WireResource): number {
    return this.#replica?.count(resource) ?? 0
  }

  /** Connects, or connects in another way. */
  connect(endpoint: EtcdEndpoint): void {
    if (this.#replica !== undefined) return this.#replica.reconfigure(endpoint)
    const { name, store, clock, silentAfterMs } = this.#options
    const shared = { ...this.#options, pingMs: silentAfterMs / 2.4 }
    const replica = new Replica({ ...shared, endpoint, handler: this.#handler(), log: this.#log })
    this.#replica = replica
    this.#config = this.#held()
    this.#link = new CachedLink({
      ...{ clock, silentAfterMs, held: this.#config?.link, complaint: () => replica.complaint },
      onChange: (link) => this.#onLink(link),
    })
    for (const resource of WIRE_RESOURCES) {
      const prefix = resourcePrefix(resource, name, true)
      for (const key of store.heldKeys(prefix)) replica.assume(resource, key.slice(prefix.length))
    }
    this.#row = { ...this.#row, state: 'connecting' }
    replica.start()
  }

  /** Ends the connection; the copy stays as it is. */
  async stop(): Promise<void> {
    this.#gone.abort(new Error('stopped'))
    this.#link?.stop()
    await this.#replica?.stop()
    await Promise.all([this.#announcements.stop(), ...[...this.#copies.values()].map((copy) => copy.stop())])
  }

  /** Restores cluster-config when somebody else changed or deleted it. */
  enforce(found: string | undefined): void {
    const { name, store } = this.#options
    if (this.#wanted === undefined || this.#wanted === found) return
    this.#log.info({ found }, 'cluster-config is not as it was left; it is written again')
    void store.put([[clusterConfigKey(name), this.#wanted]]).catch((error: unknown) => {
      if (!this.#gone.signal.aborted) this.#log.warn({ err: error }, 'cluster-config could not be written again')
    })
  }

  /**
   * The cluster is no longer part of the mesh: first nobody new comes, then those that are here have time to leave, then the
   * copy goes. Resolves when it has gone, or rejects when stopped before; then everything that is left stays.
   */
  async remove(): Promise<void> {
    const { name, store, clock } = this.#options
    const { signal } = this.#gone
    this.#row = { ...this.#row, state: 'removed', message: 'no longer configured; the copy goes in a while' }
    this.#link?.stop()
    await this.#replica?.stop()
    await Promise.all([...this.#copies.values()].map((copy) => this.#settled(copy)))
    this.#wanted = undefined
    this.#announcements.delete(clusterConfigKey(name))
    await this.#settled(this.#announcements)
    await delay(clock, LEAVE_MS, signal)
    for (const resource of WIRE_RESOURCES) this.#announcements.delete(canaryKey(resource, name, true))
    await this.#settled(this.#announcements)
    for (const [resource, copy] of this.#copies) {
      for (const key of [...store.heldKeys(resourcePrefix(resource, name, true))]) copy.delete(key)
      await this.#settled(copy)
    }
    this.#replica?.release()
    this.#log.info({}, 'the copy has gone')
  }

  #handler(): ReplicaHandler {
    const { name, clock, store } = this.#options
    const keyOf = (resource: WireResource, tail: string): string => resourcePrefix(resource, name, true) + tail
    return {
      connected: (peer, etcdClusterId) => this.#onConnected(peer, etcdClusterId),
      put: (resource, tail, value) => this.#copies.get(resource)!.put(keyOf(resource, tail), value),
      delete: (resource, tail) => this.#copies.get(resource)!.delete(keyOf(resource, tail)),
      synced: (resource) => {
        const connection = this.#connection
        this.#copies.get(resource)!.complete(() => {
          if (connection !== this.#connection) return
          const key = canaryKey(resource, name, true)
          if (store.held(key) === undefined) this.#announcements.put(key, rfc3339(clock.date()))
          this.#announcements.complete(() => {
            if (connection === this.#connection) this.#onSynced(resource)
          })
        })
      },
      failed: (error) => {
        const lastFailure = clock.date().getTime()
        const failures = this.#row.failures + 1
        const message = describeError(error)
        this.#row = { ...this.#row, state: 'disconnected', failures, lastFailure, message }
        this.#row = countLoss(this.#row, error instanceof Error ? error : new Error(message))
        this.#link?.failed(message)
      },
      alive: () => this.#link?.alive(),
      waiting: (message) => {
        this.#row = { ...this.#row, message }
      },
    }
  }

  async #onConnected(peer: PeerConfig, etcdClusterId: string | undefined): Promise<void> {
    const { name } = this.#options
    const { config } = peer
    this.#connection++
    for (const resource of WIRE_RESOURCES) this.#missing.add(resource)
    const { syncedCanaries, cached, serviceExportsEnabled: exports } = config
    const serviceExports = exports === undefined ? 'unsupported' : exports ? 'enabled' : 'disabled'
    this.#row = {
      ...this.#row,
      ...{ id: config.id, state: 'syncing', message: '', etcdClusterId },
      config: { syncedCanaries, cached, serviceExports },
    }
    if (this.#isAnother(config.id)) {
      // What is here is of a cluster that no longer exists: nobody may take it for complete.
      this.#complete = false
      for (const resource of WIRE_RESOURCES) this.#announcements.delete(canaryKey(resource, name, true))
      await this.#settled(this.#announcements)
    }
    this.#config = { ...config, syncedCanaries: true, cached: true }
    this.#link?.connected()
    this.#announce()
    await this.#settled(this.#announcements)
  }

  #announce(): void {
    if (this.#config === undefined) return
    const text = encodeClusterConfig({ ...this.#config, link: this.#link?.told })
    this.#wanted = text
    this.#announcements.put(clusterConfigKey(this.#options.name), text)
  }

  /** Nothing is announced that was not before; a cluster that was never connected has nothing to announce. */
  #onLink(link: ClusterLink): void {
    if (link.silentSince !== undefined) this.#row = countLoss(this.#row, 'unreachable')
    this.#log.info({ link }, link.silentSince === undefined ? 'the cluster is heard again' : 'the cluster is silent')
    if (this.#wanted !== undefined) this.#announce()
  }

  /** Whether the copy is of a cluster with another id, or nothing is known about whose it is. */
  #isAnother(id: number): boolean {
    return this.#options.store.held(clusterConfigKey(this.#options.name)) !== undefined && this.#held()?.id !== id
  }

  /** What cluster-config says now, whoever wrote it. */
  #held(): ClusterConfig | undefined {
    const held = this.#options.store.held(clusterConfigKey(this.#options.name))
    try {
      return held === undefined ? undefined : decodeClusterConfig(held)
    } catch {
      return undefined
    }
  }

  #onSynced(resource: WireResource): void {
    this.#missing.delete(resource)
    if (resource !== 'serviceexports') {
      this.#row = { ...this.#row, synced: { ...this.#row.synced, [resource]: true } }
    }
    if (this.#missing.size > 0 || this.#row.state !== 'syncing') return
    this.#complete = true
    this.#row = { ...this.#row, state: 'ready' }
    this.#link?.complete(true)
    this.#log.info({ id: this.#row.id }, 'the copy is complete')
  }

  /** Resolves when all that was asked for is in etcd; rejects when stopped. */
  #settled(copy: KeyCopy): Promise<void> {
    const { signal } = this.#gone
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const onAbort = (): void => reject(signal.reason as Error)
      signal.addEventListener('abort', onAbort, { once: true })
      copy.complete(() => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      })
    })
  }
}
