/** Exponential backoff with full jitter (waits spread over [0, min(max, base·2ⁿ)], so many nodes do not retry in step). */
export class Backoff {
  #attempt = 0
  readonly #base: number
  readonly #max: number
  readonly #random: () => number

  constructor(options: { baseMs: number; maxMs: number; random: () => number }) {
    this.#base = options.baseMs
    this.#max = options.maxMs
    this.#random = options.random
  }

  /** Milliseconds to wait before the next attempt; never less than a tenth of the ceiling, so a loop cannot spin. */
  next(): number {
    const ceiling = Math.min(this.#max, this.#base * 2 ** Math.min(this.#attempt++, 30))
    return ceiling * (0.1 + 0.9 * this.#random())
  }

  /** Failures since the last `reset`. */
  get attempts(): number {
    return this.#attempt
  }

  reset(): void {
    this.#attempt = 0
  }
}
