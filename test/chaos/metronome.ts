import { monotonic } from './monotonic.ts'

const BEAT_MS = 50
/** What a timer may be late for on a machine that is free. */
const USUAL_MS = 5

interface Late {
  readonly at: number
  readonly ms: number
}

/**
 * How late the timers of a process come that has nothing to do: time in which the machine gave nobody here a turn. What has to be
 * done within so many seconds is judged by the time that there was to do it in.
 */
export class Metronome {
  readonly #late: Late[] = []
  readonly #timer: NodeJS.Timeout
  #last = monotonic()

  constructor() {
    this.#timer = setInterval(() => {
      const at = monotonic()
      const ms = at - this.#last - BEAT_MS
      if (ms > USUAL_MS) this.#late.push({ at, ms })
      this.#last = at
    }, BEAT_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Milliseconds that were lost between two times. */
  lost(from: number, to: number): number {
    return this.#late.reduce((sum, { at, ms }) => (at > from && at <= to ? sum + ms : sum), 0)
  }
}
