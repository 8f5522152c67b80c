import { expect, test } from 'vitest'
import { silentLog } from '../../../agent/lib/log.ts'
import { Planner } from '../../../agent/reconcile/planner.ts'
import { Reconciler } from '../../../agent/reconcile/reconciler.ts'
import { MemoryTarget } from '../../compliance/memory-target.ts'
import { eventually } from '../../eventually.ts'
import { SteppedClock } from '../../stepped-clock.ts'

interface Value {
  readonly n: number
}

function setup(compute: (owner: string) => ReadonlyMap<string, Value>, most = Infinity) {
  const target = new MemoryTarget<Value>(new Map(), (a, b) => a.n === b.n)
  const clock = new SteppedClock()
  const reconciler = new Reconciler({ target, clock, random: () => 0.5, log: silentLog, auditMs: 0 })
  const computed: string[] = []
  const planner = new Planner<Value>({
    reconciler,
    most,
    compute: (owner) => {
      computed.push(owner)
      return compute(owner)
    },
  })
  return { target, clock, reconciler, planner, computed }
}

test('many marks are one computation and one round', async () => {
  const { planner, computed, target } = setup((owner) => new Map([[owner, { n: 1 }]]))
  for (let i = 0; i < 100; i++) planner.mark(i % 2 === 0 ? 'a' : 'b')
  expect(computed).toEqual([])
  await planner.idle()
  expect(computed).toEqual(['a', 'b'])
  expect(target.operations.filter((each) => each[0] === 'set')).toHaveLength(2)
})

test('what is marked while a pass or its round runs is not lost', async () => {
  let n = 0
  const { planner, target, computed } = setup((owner) => {
    if (owner === 'first' && n++ < 3) planner.mark('first')
    return new Map([[owner, { n }]])
  })
  planner.mark('first')
  await planner.idle()
  expect(n).toBe(4)
  expect(target.entries.get('first')).toEqual({ n: 4 })

  let open = (): void => undefined
  target.gate = new Promise((resolve) => (open = resolve))
  planner.mark('second')
  await eventually(() => computed.includes('second'))
  planner.mark('third')
  open()
  await planner.idle()
  expect([...target.entries.keys()]).toEqual(['first', 'second', 'third'])
})

test('a computation that throws keeps the old entries, harms no other, and is tried again', async () => {
  let broken = false
  const { planner, target, clock, computed } = setup((owner) => {
    if (broken && owner === 'bad') throw new Error('cannot')
    return new Map([[owner, { n: broken ? 2 : 1 }]])
  })
  planner.markAll(['bad', 'good'])
  await planner.idle()
  broken = true
  planner.markAll(['bad', 'good'])
  await planner.idle()
  expect(target.entries).toEqual(
    new Map([
      ['bad', { n: 1 }],
      ['good', { n: 2 }],
    ]),
  )
  expect([...planner.failing()].map(([owner, error]) => [owner, error.message])).toEqual([['bad', 'cannot']])
  broken = false
  const before = computed.length
  clock.step(clock.next!)
  await planner.idle()
  expect(computed.slice(before)).toEqual(['bad'])
  expect([...planner.failing()]).toEqual([])
})

test('an owner that is gone takes its entries along', async () => {
  let gone = false
  const { planner, target } = setup((owner) => (gone ? new Map() : new Map([[owner, { n: 1 }]])))
  planner.mark('a')
  await planner.idle()
  gone = true
  planner.mark('a')
  await planner.idle()
  expect(target.entries.size).toBe(0)
})

test('stopped: nothing is computed any more, no timer is left', async () => {
  const { planner, computed, clock } = setup(() => {
    throw new Error('always')
  })
  planner.mark('a')
  await planner.idle()
  expect(clock.timers).toBe(1)
  await planner.stop()
  planner.mark('b')
  await planner.idle()
  expect([computed, clock.timers]).toEqual([['a'], 0])
})

test('more than is computed at a stretch is written in several rounds, and others have their turns in between', async () => {
  const { planner, target, computed } = setup((owner) => new Map([[owner, { n: 1 }]]), 10)
  const seen: number[] = []
  const look = (): void => {
    seen.push(computed.length)
    if (computed.length < 35) setImmediate(look)
  }
  planner.markAll(Array.from({ length: 35 }, (_, n) => `owner-${n}`))
  look()
  await planner.idle()
  expect(computed).toHaveLength(35)
  expect(target.entries.size).toBe(35)
  expect(seen.filter((n) => n > 0 && n < 35).length).toBeGreaterThanOrEqual(2)
})
