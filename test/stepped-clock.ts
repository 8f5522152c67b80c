import type { Clock } from '../agent/lib/clock.ts'

/** A clock that stands still until a test moves it; timers run in the order of their times. */
export class SteppedClock implements Clock {
  #now = 0
  #timers: { at: number; fn: () => void }[] = []

  now(): number {
    return this.#now
  }

  date(): Date {
    return new Date(this.#now)
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.#now + ms, fn }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer)
    }
  }

  get timers(): number {
    return this.#timers.length
  }

  /** Milliseconds until the next timer; undefined when none is set. */
  get next(): number | undefined {
    return this.#timers.length === 0 ? undefined : Math.min(...this.#timers.map((each) => each.at)) - this.#now
  }

  /** Time goes by in which nobody runs; timers that fall due run late, at the next step. */
  stall(ms: number): void {
    this.#now += ms
  }

  /** Moves on by `ms`; also runs what the timers that fall due set in turn. */
  step(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const due = this.#timers.filter((each) => each.at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter((each) => each !== due)
      this.#now = Math.max(this.#now, due.at)
      due.fn()
    }
    this.#now = end
  }
}
