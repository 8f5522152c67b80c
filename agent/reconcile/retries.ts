import type { Clock } from '../lib/clock.ts'
import { Backoff } from '../lib/backoff.ts'

/** Waits grow from a tenth of a second to half a minute: long enough not to hurt, short enough to be healed by itself. */
const BASE_MS = 100
const MAX_MS = 30_000

interface Failure {
  readonly backoff: Backoff
  error: Error
  due: number
}

/** Which keys failed, why, and when each is tried again; one timer for all of them. */
export class Retries {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #onDue: () => void
  readonly #failures = new Map<string, Failure>()
  #timer: { due: number; cancel: () => void } | undefined

  constructor(clock: Clock, random: () => number, onDue: () => void) {
    this.#clock = clock
    this.#random = random
    this.#onDue = onDue
  }

  get size(): number {
    return this.#failures.size
  }

  get(key: string): { error: Error; attempts: number } | undefined {
    const failure = this.#failures.get(key)
    return failure === undefined ? undefined : { error: failure.error, attempts: failure.backoff.attempts }
  }

  keys(): IterableIterator<string> {
    return this.#failures.keys()
  }

  /** True unless the key is waiting for its next attempt. */
  isDue(key: string): boolean {
    const failure = this.#failures.get(key)
    return failure === undefined || failure.due <= this.#clock.now()
  }

  failed(key: string, error: Error): void {
    let failure = this.#failures.get(key)
    if (failure === undefined) {
      const backoff = new Backoff({ baseMs: BASE_MS, maxMs: MAX_MS, random: this.#random })
      failure = { backoff, error, due: 0 }
      this.#failures.set(key, failure)
    }
    failure.error = error
    failure.due = this.#clock.now() + failure.backoff.next()
    this.#arm(failure.due)
  }

  /** It worked, or what is wanted is something else now: the next attempt is the first one. */
  forget(key: string): void {
    this.#failures.delete(key)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#failures.clear()
  }

  #arm(due: number): void {
    if (this.#timer !== undefined && this.#timer.due <= due) return
    this.#timer?.cancel()
    const cancel = this.#clock.after(Math.max(0, due - this.#clock.now()), () => this.#fire())
    this.#timer = { due, cancel }
  }

  #fire(): void {
    this.#timer = undefined
    let next = Infinity
    let ready = false
    for (const { due } of this.#failures.values()) {
      if (due <= this.#clock.now()) ready = true
      else next = Math.min(next, due)
    }
    if (next < Infinity) this.#arm(next)
    if (ready) this.#onDue()
  }
}
