import type { MeshSnapshot } from '../desired/mesh-records.ts'
import type { LeasedStore } from '../targets/etcd/leased-store.ts'
import type { EtcdValue } from '../targets/etcd/export.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { SyncGates } from '../state/sync.ts'
import type { Tables } from '../state/tables.ts'
import type { Writer } from '../state/writer.ts'
import type { MeshResource } from '../types/cluster.ts'
import type { Pod } from '../types/node.ts'
import { assignIdentities, identityText } from '../desired/identities.ts'
import { Backoff } from '../lib/backoff.ts'
import { delay } from '../lib/clock.ts'
import { allOwners, hasIdentity, meshRecords, ownersOf } from '../desired/mesh-records.ts'
import { describeError } from '../lib/errors.ts'
import { Planner } from '../reconcile/planner.ts'
import { Reconciler } from '../reconcile/reconciler.ts'
import { LOCAL_SOURCE } from '../state/sync.ts'
import { EtcdExportTarget } from '../targets/etcd/export.ts'
import { rfc3339 } from '../targets/etcd/heartbeat-writer.ts'
import { MESH_RESOURCES } from '../types/cluster.ts'
import { canaryKey, resourcePrefix } from '../types/wire/keys.ts'

export interface MeshExportOptions {
  readonly cluster: { readonly name: string; readonly id: number }
  readonly tables: Tables
  readonly writer: Writer
  readonly sync: SyncGates
  readonly store: LeasedStore
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

const AUDIT_MS = 300_000
const CANARY_RETRY_MS = 1000

/**
 * Rows of the own cluster → records in its etcd.
 *
 * INVARIANTS
 * - Nothing is written or deleted before the own cluster's source has synced: what an earlier process exported stays.
 * - The canary of a resource is written after every record of it that the first complete list asks for.
 */
export class MeshExport {
  readonly #options: MeshExportOptions
  readonly #reconciler: Reconciler<EtcdValue>
  readonly #planner: Planner<EtcdValue>
  readonly #texts = new WeakMap<Pod, string>()
  /** Records the canary of a resource still waits for; undefined before the first complete list. */
  #awaited: Map<MeshResource | 'serviceexports', Set<string>> | undefined
  /** Numbers of the label sets in use. */
  #identities: ReadonlyMap<string, number> = new Map()
  /** The same with those no longer in use that peers may still see. */
  readonly #found = new Map<string, number>()
  #podsChanged = true
  #unsubscribe: (() => void)[] = []
  #cancelRetry: () => void = () => undefined
  #stopped = false

  constructor(options: MeshExportOptions) {
    this.#options = options
    const target = new EtcdExportTarget(options.store, options.cluster.name)
    const { clock, random, log } = options
    const onChange = (): void => this.#announce()
    this.#reconciler = new Reconciler({ target, clock, random, log, auditMs: AUDIT_MS, onChange })
    this.#planner = new Planner({ reconciler: this.#reconciler, compute: (owner) => this.#compute(owner) })
  }

  /** Every resource has its canary: peers see all of the cluster. */
  get ready(): boolean {
    return this.#awaited?.size === 0
  }

  get stats(): ReturnType<Reconciler<EtcdValue>['stats']> {
    return this.#reconciler.stats()
  }

  /** Reads what etcd holds, as soon as it answers, then follows the tables. Rejects only when aborted. */
  async start(signal: AbortSignal): Promise<void> {
    const { writer, sync, store, cluster, clock, random } = this.#options
    const backoff = new Backoff({ baseMs: 250, maxMs: 5000, random })
    const prefix = resourcePrefix('identities', cluster.name, false)
    for (;;) {
      try {
        for (const [key, text] of await store.list([prefix])) this.#found.set(text, Number(key.slice(prefix.length)))
        break
      } catch (error) {
        signal.throwIfAborted()
        this.#options.log.warn({ err: error }, `cannot read what is exported: ${describeError(error)}`)
        await delay(clock, backoff.next(), signal)
      }
    }
    await this.#reconciler.start()
    this.#unsubscribe = [
      writer.subscribe((change) => {
        if (change.table === 'pods') this.#podsChanged = true
        if (this.#awaited !== undefined) this.#planner.markAll(ownersOf(this.#snapshot(), change))
      }),
      sync.subscribe(() => this.#onSync()),
    ]
    this.#onSync()
  }

  /** Ends following and writing; the records stay. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelRetry()
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#planner.stop()
    await this.#reconciler.stop()
  }

  #onSync(): void {
    if (this.#awaited !== undefined || !this.#options.sync.isOpen(LOCAL_SOURCE)) return
    this.#awaited = new Map()
    this.#firstList(this.#awaited).catch((error: unknown) =>
      this.#options.log.error({ err: error }, `the first export failed: ${describeError(error)}`),
    )
  }

  async #firstList(awaited: Map<MeshResource | 'serviceexports', Set<string>>): Promise<void> {
    for (const resource of [...MESH_RESOURCES, 'serviceexports'] as const) awaited.set(resource, new Set([NOT_LISTED]))
    this.#planner.markAll(allOwners(this.#snapshot()))
    await this.#planner.idle()
    this.#reconciler.allowPrune()
    for (const resource of MESH_RESOURCES) awaited.set(resource, new Set())
    awaited.set('serviceexports', new Set())
    const prefixes = MESH_RESOURCES.map(
      (each) => [each, resourcePrefix(each, this.#options.cluster.name, false)] as const,
    )
    for (const [key] of this.#reconciler.desiredEntries()) {
      const resource = prefixes.find(([, prefix]) => key.startsWith(prefix))?.[0]
      if (resource !== undefined) awaited.get(resource)?.add(key)
    }
    this.#announce()
  }

  /** Writes the canaries of resources that have become complete. */
  #announce(): void {
    if (this.#awaited === undefined || this.#stopped) return
    const complete: (MeshResource | 'serviceexports')[] = []
    for (const [resource, keys] of this.#awaited) {
      for (const key of keys) {
        const unwanted = key !== NOT_LISTED && this.#reconciler.desired(key) === undefined
        if (unwanted || this.#reconciler.status(key).state === 'done') keys.delete(key)
      }
      if (keys.size === 0) complete.push(resource)
    }
    if (complete.length > 0) void this.#writeCanaries(complete, this.#awaited)
  }

  async #writeCanaries(
    resources: readonly (MeshResource | 'serviceexports')[],
    awaited: Map<MeshResource | 'serviceexports', Set<string>>,
  ): Promise<void> {
    const { cluster, clock, store, log } = this.#options
    const entries = resources.map((each) => [canaryKey(each, cluster.name), rfc3339(clock.date())] as const)
    try {
      const failures = await store.put(entries)
      for (const resource of resources) if (!failures.has(canaryKey(resource, cluster.name))) awaited.delete(resource)
      for (const error of failures.values()) throw error
      log.info({ resources }, 'exported completely')
    } catch (error) {
      if (this.#stopped) return
      log.warn({ err: error }, `cannot write canaries: ${describeError(error)}`)
      this.#cancelRetry()
      this.#cancelRetry = clock.after(CANARY_RETRY_MS, () => this.#announce())
    }
  }

  #compute(owner: string): ReadonlyMap<string, EtcdValue> {
    this.#assign()
    const values = new Map<string, EtcdValue>()
    for (const [key, text] of meshRecords(this.#snapshot(), owner)) values.set(key, { text })
    return values
  }

  /** Gives a number to every label set in use, before the first record that may need it. */
  #assign(): void {
    if (!this.#podsChanged) return
    this.#podsChanged = false
    const { tables, cluster } = this.#options
    const texts = new Set<string>()
    for (const pod of tables.pods.values()) if (hasIdentity(pod)) texts.add(this.#textOf(pod))
    this.#identities = assignIdentities(texts, cluster.id, this.#known())
  }

  /** What is in etcd counts as given out, whoever did it, until it is deleted there. */
  #known(): ReadonlyMap<string, number> {
    const prefix = resourcePrefix('identities', this.#options.cluster.name, false)
    for (const [text, id] of this.#found) {
      if (this.#reconciler.actual(`${prefix}${id}`)?.text !== text) this.#found.delete(text)
    }
    for (const [text, id] of this.#identities) this.#found.set(text, id)
    return this.#found
  }

  #textOf(pod: Pod): string {
    let text = this.#texts.get(pod)
    if (text === undefined) this.#texts.set(pod, (text = identityText(pod, this.#options.cluster.name)))
    return text
  }

  #snapshot(): MeshSnapshot {
    return { tables: this.#options.tables, cluster: this.#options.cluster, identities: this.#identities }
  }
}

/** Stands for records that have not been worked out yet; never a key. */
const NOT_LISTED = '\0'
