import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { LeasedStore } from './leased-store.ts'
import { Backoff } from '../../lib/backoff.ts'
import { describeError } from '../../lib/errors.ts'

/** Changes handed to the store at once: others share it, and are let in between. */
const BATCH = 1024

interface Change {
  /** Undefined: delete. */
  text: string | undefined
  /** Waited for by whoever asked for completeness before it was made. */
  awaited: boolean
}

export interface KeyCopyOptions {
  readonly store: LeasedStore
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

/**
 * Brings changes to etcd in batches, for as long as it takes. Of several changes of a key only the last is written; what the
 * store holds already is not written again. Within a batch what is put comes before what is deleted, so that a reader never
 * sees less of something that was replaced.
 */
export class KeyCopy {
  readonly #options: KeyCopyOptions
  readonly #backoff: Backoff
  readonly #changes = new Map<string, Change>()
  /** Those that failed and wait for another attempt. */
  readonly #failed = new Map<string, Change>()
  #writing = new Map<string, Change>()
  #pump: Promise<void> | undefined
  /** Changes that `complete` waits for. */
  #awaited = 0
  #onComplete: (() => void)[] = []
  #cancelRetry: (() => void) | undefined
  /** Nothing of the last batch could be written: etcd is away. */
  #away = false
  #lastError: Error | undefined
  #stopped = false

  constructor(options: KeyCopyOptions) {
    this.#options = options
    this.#backoff = new Backoff({ baseMs: 250, maxMs: 5000, random: options.random })
  }

  /** Changes that are not in etcd yet. */
  get pending(): number {
    return this.#changes.size + this.#failed.size + this.#writing.size
  }

  /** Why changes wait for another attempt; undefined when none does. */
  get lastError(): Error | undefined {
    return this.#failed.size > 0 ? this.#lastError : undefined
  }

  put(key: string, text: string): void {
    this.#change(key, text)
  }

  delete(key: string): void {
    this.#change(key, undefined)
  }

  /** `then` is called, maybe at once, when everything asked for until now is in etcd. */
  complete(then: () => void): void {
    for (const changes of [this.#changes, this.#failed, this.#writing]) {
      for (const change of changes.values()) {
        if (change.awaited) continue
        change.awaited = true
        this.#awaited++
      }
    }
    this.#onComplete.push(then)
    this.#checkComplete()
  }

  /** What is not written yet never will be; resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#onComplete = []
    this.#cancelRetry?.()
    await this.#pump
  }

  #change(key: string, text: string | undefined): void {
    const failed = this.#failed.get(key)
    if (failed !== undefined) {
      this.#failed.delete(key)
      this.#changes.set(key, { text, awaited: failed.awaited })
    } else {
      const waiting = this.#changes.get(key)
      if (waiting !== undefined) waiting.text = text
      else if (this.#writing.has(key) || this.#options.store.held(key) !== text) {
        this.#changes.set(key, { text, awaited: false })
      }
    }
    this.#start()
  }

  #start(): void {
    if (this.#pump !== undefined || this.#away || this.#stopped || this.#changes.size === 0) return
    // Events of one message arrive in one turn: they share a batch.
    this.#pump = Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#pump = undefined
        this.#start()
      })
  }

  async #run(): Promise<void> {
    while (this.#changes.size > 0 && !this.#away && !this.#stopped) {
      for (const [key, change] of this.#changes) {
        this.#changes.delete(key)
        this.#writing.set(key, change)
        if (this.#writing.size === BATCH) break
      }
      const failures = await this.#write(this.#writing)
      this.#settle(failures)
      if (failures.size === 0) this.#backoff.reset()
      else this.#retryLater()
      this.#checkComplete()
    }
  }

  /** Which could not be written, and why. */
  async #write(batch: ReadonlyMap<string, Change>): Promise<ReadonlyMap<string, Error>> {
    const puts: [string, string][] = []
    const deletes: string[] = []
    for (const [key, { text }] of batch) {
      if (text === undefined) deletes.push(key)
      else puts.push([key, text])
    }
    try {
      const failures = puts.length === 0 ? new Map<string, Error>() : await this.#options.store.put(puts)
      if (deletes.length > 0) {
        for (const [key, error] of await this.#options.store.delete(deletes)) failures.set(key, error)
      }
      return failures
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause))
      return new Map([...batch.keys()].map((key) => [key, error]))
    }
  }

  #settle(failures: ReadonlyMap<string, Error>): void {
    for (const [key, change] of this.#writing) {
      const error = failures.get(key)
      const newer = this.#changes.get(key)
      if (error !== undefined && newer === undefined) {
        this.#failed.set(key, change)
        this.#lastError = error
      } else if (change.awaited) {
        if (error === undefined || newer === undefined || newer.awaited) this.#awaited--
        else newer.awaited = true
      }
    }
    this.#away = failures.size === this.#writing.size
    this.#writing = new Map()
  }

  #retryLater(): void {
    const { log, clock } = this.#options
    const error = this.#lastError
    log.warn({ keys: this.#failed.size, err: error }, `cannot write to etcd: ${describeError(error)}`)
    this.#cancelRetry?.()
    this.#cancelRetry = clock.after(this.#backoff.next(), () => {
      this.#away = false
      // What changed meanwhile is newer, and not among these.
      for (const [key, change] of this.#failed) this.#changes.set(key, change)
      this.#failed.clear()
      this.#start()
    })
  }

  #checkComplete(): void {
    if (this.#awaited > 0 || this.#stopped) return
    for (const then of this.#onComplete.splice(0)) then()
  }
}
