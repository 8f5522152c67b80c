import type { Clock } from './clock.ts'
import { Backoff } from './backoff.ts'
import { delay } from './clock.ts'

export interface RoundsOptions {
  readonly clock: Clock
  /** [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
  /** From a round that did what it should to the next one. */
  readonly everyMs: number
  /** From one that did not: a quarter of a second at first, and no more than this. */
  readonly againMs: number
}

/** Calls `round`, which says whether it did what it should and never rejects, again and again. Resolves once stopped. */
export async function rounds(options: RoundsOptions, round: () => Promise<boolean>): Promise<void> {
  const { clock, random, signal, everyMs, againMs } = options
  const backoff = new Backoff({ baseMs: 250, maxMs: againMs, random })
  while (!signal.aborted) {
    const done = await round()
    if (done) backoff.reset()
    await delay(clock, done ? everyMs : backoff.next(), signal).catch(() => undefined) // stopped: the loop ends
  }
}
