import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { LeasedStore } from './leased-store.ts'
import { describeError } from '../../lib/errors.ts'
import { EtcdError } from '../../lib/etcd.ts'
import { rounds } from '../../lib/rounds.ts'

const HEARTBEAT_MS = 60_000

export interface HeartbeatWriterOptions {
  readonly store: LeasedStore
  readonly key: string
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

/** Writes the time under a key once a minute, for as long as the process lives: what it keeps in etcd is being looked after. */
export class HeartbeatWriter {
  readonly #options: HeartbeatWriterOptions
  readonly #stopped = new AbortController()
  #running: Promise<void> | undefined

  constructor(options: HeartbeatWriterOptions) {
    this.#options = options
  }

  start(): void {
    const { clock, random } = this.#options
    const every = { everyMs: HEARTBEAT_MS, againMs: 5000 }
    this.#running = rounds({ clock, random, signal: this.#stopped.signal, ...every }, () => this.#write())
  }

  /** What was written stays until its lease ends. */
  async stop(): Promise<void> {
    this.#stopped.abort(new EtcdError('stopped', 'stopped'))
    await this.#running
  }

  async #write(): Promise<boolean> {
    const { store, key, clock, log } = this.#options
    try {
      for (const error of (await store.put([[key, rfc3339(clock.date())]])).values()) throw error
      return true
    } catch (error) {
      if (!this.#stopped.signal.aborted) log.warn({ key, err: error }, `cannot write to etcd: ${describeError(error)}`)
      return false
    }
  }
}

/** As Go prints a time with `time.RFC3339`: no fractions. */
export function rfc3339(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}
