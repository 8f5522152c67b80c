import type { Clock } from '../../lib/clock.ts'
import type { EtcdEndpoint } from '../../lib/etcd.ts'
import type { EtcdSession } from '../../lib/etcd-session.ts'
import type { Log } from '../../lib/log.ts'
import type { LeasedStore } from './leased-store.ts'
import { Backoff } from '../../lib/backoff.ts'
import { delay } from '../../lib/clock.ts'
import { describeError } from '../../lib/errors.ts'
import { EtcdError, prefixEnd } from '../../lib/etcd.ts'
import { decodeClusterConfig } from '../../types/wire/cluster-config.ts'
import { keepSession, withSession } from './kept-session.ts'
import { cacheRoot, canaryKey, clusterConfigKey, WIRE_RESOURCES } from '../../types/wire/keys.ts'

export interface LocalCacheOptions {
  readonly store: LeasedStore
  readonly endpoint: EtcdEndpoint
  /** The own cluster: what it says about itself is not ours. */
  readonly cluster: string
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

const CONFIGS = clusterConfigKey('')

/** What is in the own etcd beside what we write: copies of an earlier process, and other people's changes. */
export class LocalCache {
  readonly #options: LocalCacheOptions
  readonly #stopped = new AbortController()
  #running: Promise<void> | undefined

  constructor(options: LocalCacheOptions) {
    this.#options = options
  }

  /**
   * Makes the store know every copy there is, leases included, and returns the names of the clusters they are of. Tries until
   * etcd answers; rejects only when aborted.
   */
  async load(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { clock, random, log } = this.#options
    const backoff = new Backoff({ baseMs: 250, maxMs: 5000, random })
    for (;;) {
      try {
        return await this.#read(signal)
      } catch (error) {
        signal.throwIfAborted()
        log.warn({ err: error }, `cannot read the copies there are: ${describeError(error)}`)
        await delay(clock, backoff.next(), signal)
      }
    }
  }

  /** Reports every change of the cluster-config of another cluster, from now until `stop`; undefined when it was deleted. */
  guard(onConfig: (cluster: string, text: string | undefined) => void): void {
    const { store } = this.#options
    // An etcd that lost its data has none of our leases.
    const kept = { ...this.#options, signal: this.#stopped.signal, onLost: () => store.verify() }
    this.#running = keepSession(kept, (session) => this.#watch(session, onConfig))
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new EtcdError('stopped', 'stopped'))
    await this.#running
  }

  async #read(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { store, cluster } = this.#options
    const names = new Set<string>()
    const range = { key: Buffer.from(CONFIGS), range_end: prefixEnd(CONFIGS) }
    const configs = await withSession({ ...this.#options, signal }, (session) => session.range(range))
    for (const { key, value } of configs.kvs) {
      if (isCopy(value.toString('latin1'))) names.add(key.toString('utf8').slice(CONFIGS.length))
    }
    const roots = WIRE_RESOURCES.map(cacheRoot)
    for (const key of (await store.list(roots)).keys()) {
      const root = roots.find((each) => key.startsWith(each))!
      names.add(key.slice(root.length).split('/', 1)[0]!)
    }
    names.delete(cluster)
    const keys = [...names].flatMap((name) => [
      clusterConfigKey(name),
      ...WIRE_RESOURCES.map((resource) => canaryKey(resource, name, true)),
    ])
    await store.list([], keys)
    return names
  }

  /** Always rejects, when the session ends. */
  async #watch(session: EtcdSession, onConfig: (cluster: string, text: string | undefined) => void): Promise<never> {
    const { store } = this.#options
    const list = await session.range({ key: Buffer.from(CONFIGS), range_end: prefixEnd(CONFIGS) })
    const found = new Map(list.kvs.map((kv) => [kv.key.toString('utf8'), kv.value.toString('latin1')]))
    for (const key of store.heldKeys(CONFIGS)) onConfig(key.slice(CONFIGS.length), found.get(key))
    await session.watch(
      { key: CONFIGS, prefix: true, from: BigInt(list.header.revision) + 1n },
      {
        events: (events) => {
          for (const { type, kv } of events) {
            const name = kv.key.toString('utf8').slice(CONFIGS.length)
            onConfig(name, type === 'Delete' ? undefined : kv.value.toString('latin1'))
          }
        },
        progress: () => undefined,
        compacted: () => session.close(new EtcdError('etcd-compacted', 'history was compacted')),
      },
    )
    return session.failure
  }
}

function isCopy(text: string): boolean {
  try {
    return decodeClusterConfig(text).cached
  } catch {
    return false
  }
}
