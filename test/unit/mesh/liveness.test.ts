import { beforeEach, expect, test } from 'vitest'
import { Liveness } from '../../../agent/sources/mesh/liveness.ts'
import { SteppedClock } from '../../stepped-clock.ts'

let clock: SteppedClock
let log: string[]
let liveness: Liveness

beforeEach(() => {
  clock = new SteppedClock()
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
    clock.step(1000)
  }
}

test('silence makes unreachable, then expired, each once and in time', () => {
  alive(5000)
  liveness.settled(true)
  clock.step(600_000)
  expect(log).toEqual(['unreachable 14000', 'expired 304000'])
})

test('evidence alone brings nobody back: first everything has to be known again', () => {
  clock.step(11_000)
  alive(20_000)
  expect(log).toEqual(['unreachable 10000'])
  liveness.settled(true)
  alive(3000)
  expect(log).toHaveLength(2)
  expect(log[1]).toMatch(/^returned 3[34]/)
})

test('a peer that goes again within the hold-down was never back', () => {
  liveness.settled(true)
  clock.step(11_000)
  liveness.settled(false)
  alive(1000)
  liveness.settled(true)
  alive(1000)
  liveness.settled(false)
  alive(60_000)
  expect(log).toEqual(['unreachable 10000'])
})

test('a peer that falls silent within the hold-down was never back, however long its session stands', () => {
  liveness.settled(true)
  clock.step(11_000)
  liveness.settled(false)
  alive(1000)
  liveness.settled(true)
  alive(1000)
  clock.step(60_000)
  expect(log).toEqual(['unreachable 10000'])
})

test('a session that only slept returns after the hold-down', () => {
  liveness.settled(true)
  clock.step(12_000)
  alive(4000)
  expect(log[0]).toBe('unreachable 10000')
  expect(log[1]).toMatch(/^returned 1[4-5]/)
})

test('after it was given up and came back, the next loss counts from there', () => {
  liveness.settled(true)
  clock.step(300_000)
  liveness.settled(false)
  alive(1000)
  liveness.settled(true)
  alive(5000)
  expect(log.map((line) => line.split(' ')[0])).toEqual(['unreachable', 'expired', 'returned'])
  clock.step(300_000)
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
  clock.step(600_000)
  expect(log).toEqual([])
})

test('a silence that is told of counts from when it began', () => {
  alive(5000)
  liveness.settled(true)
  liveness.silentFor(4000)
  clock.step(6000)
  expect(log).toEqual(['unreachable 11000'])
  liveness.silentFor(400_000)
  expect(log).toEqual(['unreachable 11000', 'expired 11000'])
})

test('time in which nobody listened is not silence', () => {
  alive(5000)
  liveness.settled(true)
  clock.stall(60_000)
  clock.step(6000)
  expect(log).toEqual([])
  liveness.evidence()
  clock.step(9900)
  expect(log).toEqual([])
  clock.step(200)
  expect(log).toEqual(['unreachable 81000'])
})

test('who was silent before a stall is silent after it, and no longer for it', () => {
  clock.step(4000)
  clock.stall(60_000)
  clock.step(4000)
  expect(log).toEqual([])
  clock.step(2000)
  expect(log).toHaveLength(1)
})
