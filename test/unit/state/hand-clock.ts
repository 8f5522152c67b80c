import type { Clock } from '../../../agent/lib/clock.ts'

/** Time for what only reads it: it moves by hand, and nothing may be scheduled on it. */
export function handClock(): Clock & { step(ms: number): void } {
  let now = 0
  return {
    now: () => now,
    date: () => new Date(now),
    after: () => {
      throw new Error('nothing is scheduled here')
    },
    step: (ms) => {
      now += ms
    },
  }
}
