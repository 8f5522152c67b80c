import type { Clock } from '../../lib/clock.ts'

/** Ids that went out of use and wait for their last readers, oldest first. */
export class GraceQueue {
  readonly #clock: Clock
  readonly #graceMs: number
  /** Insertion order is order of release. */
  readonly #since = new Map<number, number>()

  constructor(clock: Clock, graceMs: number) {
    this.#clock = clock
    this.#graceMs = graceMs
  }

  get size(): number {
    return this.#since.size
  }

  /** The wait of an id that waits already goes on unchanged. */
  push(id: number): void {
    if (!this.#since.has(id)) this.#since.set(id, this.#clock.now())
  }

  /** In use again. */
  cancel(id: number): void {
    this.#since.delete(id)
  }

  /** Hands each id whose grace is over to `done`, once. */
  drain(done: (id: number) => void): void {
    const limit = this.#clock.now() - this.#graceMs
    for (const [id, since] of this.#since) {
      if (since > limit) return
      this.#since.delete(id)
      done(id)
    }
  }
}
