import type { Clock } from '../../lib/clock.ts'

export interface LivenessOptions {
  readonly clock: Clock
  /** Silence after which the peer is unreachable. */
  readonly unreachableAfterMs: number
  /** Silence after which what it said about services is no longer believed. */
  readonly cacheTtlMs: number
  /** How long the peer must be in step again before it is believed to be back, so that a flapping one changes nothing. */
  readonly holdDownMs: number
  readonly onUnreachable: () => void
  readonly onExpired: () => void
  readonly onReturned: () => void
}

/** How often in that time it is looked whether anybody listened. A look that comes later than the next one was due says no. */
const LOOKS = 4

/**
 * Turns evidence of life into three events. Evidence costs one clock reading; a single timer looks whether it came.
 *
 * Silence → unreachable → expired. Only a peer that is in step (`settled`) and stays alive for the hold-down returns. Time in
 * which this process did not run, or was too busy to listen, is not silence.
 */
export class Liveness {
  readonly #options: LivenessOptions
  #last: number
  /** Since the last evidence: for how long nobody listened. */
  #deaf = 0
  #unreachable = false
  #expired = false
  #settledSince: number | undefined
  #cancel: () => void = () => undefined

  constructor(options: LivenessOptions) {
    this.#options = options
    this.#last = options.clock.now()
    this.#arm()
  }

  evidence(): void {
    this.#last = this.#options.clock.now()
    this.#deaf = 0
  }

  /** Nothing was heard for `ms`, whatever was taken for evidence meanwhile. */
  silentFor(ms: number): void {
    this.#last = Math.min(this.#last, this.#options.clock.now() - ms)
    this.#deaf = 0
    this.#check()
  }

  /** Whether everything the peer has is known: true after a complete resync, false when the session ended. */
  settled(yes: boolean): void {
    if (!yes) this.#settledSince = undefined
    else this.#settledSince ??= this.#options.clock.now()
    this.#check()
  }

  /** Whether what the peer said about services was given up; it is until the peer returns. */
  get expired(): boolean {
    return this.#expired
  }

  stop(): void {
    this.#cancel()
  }

  #check(): void {
    const { clock, unreachableAfterMs, cacheTtlMs, holdDownMs } = this.#options
    const now = clock.now()
    const silence = now - this.#last - this.#deaf
    if (silence >= unreachableAfterMs) {
      if (!this.#unreachable) {
        this.#unreachable = true
        this.#options.onUnreachable()
      }
      // The session may still stand: what it missed arrives when the peer wakes up, and the hold-down starts then.
      if (this.#settledSince !== undefined) this.#settledSince = now
      if (silence >= cacheTtlMs && !this.#expired) {
        this.#expired = true
        this.#settledSince = undefined
        this.#options.onExpired()
      }
    } else if (this.#unreachable && this.#settledSince !== undefined && this.#last - this.#settledSince >= holdDownMs) {
      // What counts is a sign of life at the end of the hold-down: time alone goes by for the dead too.
      this.#unreachable = false
      this.#expired = false
      this.#options.onReturned()
    }
    this.#arm()
  }

  /** The next moment at which silence, or the end of the hold-down, would mean something. */
  #arm(): void {
    const { clock, unreachableAfterMs, cacheTtlMs, holdDownMs } = this.#options
    const now = clock.now()
    const silence = now - this.#last - this.#deaf
    let wait = unreachableAfterMs - silence
    if (this.#unreachable) {
      wait = Math.min(unreachableAfterMs / 10, holdDownMs)
      if (!this.#expired) wait = Math.min(wait, cacheTtlMs - silence)
    }
    const look = unreachableAfterMs / LOOKS
    wait = Math.max(Math.min(wait, look), 10)
    this.#cancel()
    this.#cancel = clock.after(wait, () => {
      const late = clock.now() - now - wait
      if (late >= look) this.#deaf += late
      this.#check()
    })
  }
}
