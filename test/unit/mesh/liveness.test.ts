import { beforeEach, expect, test } from 'vitest'
import type { Clock } from '../../../agent/lib/clock.ts'
import { Liveness } from '../../../agent/sources/mesh/liveness.ts'

class HandClock implements Clock {
  #now = 0
  readonly #timers = new Set<{ at: number; fn: () => void }>()

  now(): number {
    return this.#now
  }

  date(): Date {
    return new Date(this.#now)
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.#now + ms, fn }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = next.at
      next.fn()
    }
    this.#now = end
  }
}

let clock: HandClock
let log: string[]
let liveness: Liveness

beforeEach(() => {
  clock = new HandClock()
  log = []
  const note = (what: string) => () => void log.push(`${what} ${clock.now()}`)
  liveness = new Liveness({
    clock,
    unreachableAfterMs: 10_000,
    cacheTtlMs: 300_000,
    holdDownMs: 2000,
    onUnreachable: note('unreachable'),
    onExpired: note('expired'),
    onReturned: note('returned'),
  })
})

function alive(ms: number): void {
  for (let i = 0; i < ms; i += 1000) {
    liveness.evidence()
    clock.advance(1000)
  }
}

test('silence makes unreachable, then expired, each once and in time', () => {
  alive(5000)
  liveness.settled(true)
  clock.advance(600_000)
  expect(log).toEqual(['unreachable 14000', 'expired 304000'])
})

test('evidence alone brings nobody back: first everything has to be known again', () => {
  clock.advance(11_000)
  alive(20_000)
  expect(log).toEqual(['unreachable 10000'])
  liveness.settled(true)
  alive(3000)
  expect(log).toHaveLength(2)
  expect(log[1]).toMatch(/^returned 33/)
})

test('a peer that goes again within the hold-down was never back', () => {
  liveness.settled(true)
  clock.advance(11_000)
  liveness.settled(false)
  alive(1000)
  liveness.settled(true)
  alive(1000)
  liveness.settled(false)
  alive(60_000)
  expect(log).toEqual(['unreachable 10000'])
})

test('a session that only slept returns after the hold-down', () => {
  liveness.settled(true)
  clock.advance(12_000)
  alive(4000)
  expect(log[0]).toBe('unreachable 10000')
  expect(log[1]).toMatch(/^returned 1[4-5]/)
})

test('after it was given up and came back, the next loss counts from there', () => {
  liveness.settled(true)
  clock.advance(300_000)
  liveness.settled(false)
  alive(1000)
  liveness.settled(true)
  alive(5000)
  expect(log.map((line) => line.split(' ')[0])).toEqual(['unreachable', 'expired', 'returned'])
  clock.advance(300_000)
  expect(log.map((line) => line.split(' ')[0])).toEqual([
    'unreachable',
    'expired',
    'returned',
    'unreachable',
    'expired',
  ])
})

test('stopped, it says nothing more', () => {
  liveness.stop()
  clock.advance(600_000)
  expect(log).toEqual([])
})
