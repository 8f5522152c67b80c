import type { Clock } from '../../lib/clock.ts'
import type { EtcdEndpoint } from '../../lib/etcd.ts'
import type { Log } from '../../lib/log.ts'
import type { EtcdSession } from '../../lib/etcd-session.ts'
import type { ClusterConfig } from '../../types/wire/cluster-config.ts'
import type { LeasedStore } from './leased-store.ts'
import { describeError } from '../../lib/errors.ts'
import { EtcdError } from '../../lib/etcd.ts'
import { keepSession } from './kept-session.ts'
import { HeartbeatWriter } from './heartbeat-writer.ts'
import { encodeClusterConfig } from '../../types/wire/cluster-config.ts'
import { clusterConfigKey, HEARTBEAT_KEY } from '../../types/wire/keys.ts'

const ENFORCE_MS = 300_000

export interface AnnouncerOptions {
  readonly store: LeasedStore
  readonly endpoint: EtcdEndpoint
  readonly cluster: string
  readonly config: ClusterConfig
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

/**
 * Says that the cluster is there: the heartbeat once a minute, and who it is. Cluster-config is watched and put right as soon
 * as somebody changes or deletes it, for peers would leave the cluster; it is also written again every 5 min.
 */
export class Announcer {
  readonly #options: AnnouncerOptions
  readonly #heartbeat: HeartbeatWriter
  readonly #stopped = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: AnnouncerOptions) {
    this.#options = options
    this.#heartbeat = new HeartbeatWriter({ ...options, key: HEARTBEAT_KEY })
  }

  start(): void {
    this.#heartbeat.start()
    const { store } = this.#options
    // An etcd that lost its data has none of our leases.
    const kept = { ...this.#options, signal: this.#stopped.signal, onLost: () => store.verify() }
    this.#running = keepSession(kept, (session) => this.#guard(session))
  }

  /** What was announced stays until its lease ends. */
  async stop(): Promise<void> {
    this.#stopped.abort(new EtcdError('stopped', 'stopped'))
    await Promise.all([this.#heartbeat.stop(), this.#running])
  }

  /** Keeps the record right for as long as the session lasts; always rejects. */
  async #guard(session: EtcdSession): Promise<never> {
    const { store, cluster, clock } = this.#options
    const key = clusterConfigKey(cluster)
    const wanted = encodeClusterConfig(this.#options.config)
    let cancel: () => void = () => undefined
    const write = (): void => {
      cancel()
      cancel = clock.after(ENFORCE_MS, write)
      void this.#put(store, key, wanted).then((written) => {
        if (!written) session.close(new EtcdError('etcd-put', `cannot write ${key}`))
      })
    }
    try {
      const { revision } = await session.get(key)
      write()
      await session.watch(
        { key, prefix: false, from: revision + 1n },
        {
          events: (events) => {
            const { type, kv } = events.at(events.length - 1)
            if (type === 'Delete' || kv.value.toString('utf8') !== wanted) write()
          },
          progress: () => undefined,
          compacted: () => session.close(new EtcdError('etcd-compacted', 'history was compacted')),
        },
      )
      return await session.failure
    } finally {
      cancel()
    }
  }

  async #put(store: LeasedStore, key: string, text: string): Promise<boolean> {
    try {
      for (const error of (await store.put([[key, text]])).values()) throw error
      return true
    } catch (error) {
      if (!this.#stopped.signal.aborted) {
        this.#options.log.warn({ key, err: error }, `cannot write to etcd: ${describeError(error)}`)
      }
      return false
    }
  }
}
