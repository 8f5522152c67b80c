import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { silentLog } from '../../../agent/lib/log.ts'
import { Reconciler } from '../../../agent/reconcile/reconciler.ts'
import { FaultError, MemoryTarget } from '../../compliance/memory-target.ts'
import { eventually } from '../../eventually.ts'
import { SteppedClock } from '../../stepped-clock.ts'

interface Value {
  readonly text: string
}

const value = (text: string): Value => ({ text })
const equals = (a: Value, b: Value): boolean => a.text === b.text
const entries = (from: Record<string, string>): Map<string, Value> =>
  new Map(Object.entries(from).map(([key, text]) => [key, value(text)]))

interface Setup {
  readonly target: MemoryTarget<Value>
  readonly clock: SteppedClock
  readonly reconciler: Reconciler<Value>
  readonly told: (readonly string[])[]
  readonly there: () => Record<string, string>
}

function setup(found: Record<string, string> = {}, auditMs = 0): Setup {
  const target = new MemoryTarget<Value>(entries(found), equals)
  const clock = new SteppedClock()
  const told: (readonly string[])[] = []
  const reconciler = new Reconciler({
    target,
    clock,
    random: () => 0.5,
    log: silentLog,
    auditMs,
    onChange: (keys) => told.push(keys),
  })
  return {
    target,
    clock,
    reconciler,
    told,
    there: () => Object.fromEntries([...target.entries].map(([key, each]) => [key, each.text])),
  }
}

const writes = (target: MemoryTarget<Value>): string[] =>
  target.operations.filter((each) => each[0] !== 'load').map((each) => each.join(' '))

describe('rounds', () => {
  test('write what is wanted, nothing twice, and tell', async () => {
    const { target, reconciler, told, there } = setup({ a: '1', b: 'old' })
    await reconciler.start()
    reconciler.replace('o', entries({ a: '1', b: '2', c: '3' }))
    expect(reconciler.status('b')).toEqual({ state: 'pending' })
    await reconciler.round()
    expect(there()).toEqual({ a: '1', b: '2', c: '3' })
    expect(writes(target)).toEqual(['set b', 'set c'])
    expect(told).toEqual([['b', 'c']])
    expect(reconciler.status('b')).toEqual({ state: 'done' })
    await reconciler.round()
    expect(writes(target)).toHaveLength(2)
    expect(reconciler.stats()).toMatchObject({
      desired: 3,
      actual: 3,
      pending: 0,
      failing: 0,
      drift: 0,
      lastError: undefined,
    })
  })

  test('sets come before deletes', async () => {
    const { target, reconciler } = setup()
    reconciler.replace('o', entries({ a: '1' }))
    await reconciler.round()
    reconciler.replace('o', entries({ b: '1' }))
    await reconciler.round()
    expect(writes(target)).toEqual(['set a', 'set b', 'delete a'])
  })

  test('changes during a round are written by the next one, together', async () => {
    const { target, reconciler, there } = setup()
    await reconciler.start()
    let open = (): void => undefined
    target.gate = new Promise((resolve) => (open = resolve))
    reconciler.replace('o', entries({ a: '1' }))
    const first = reconciler.round()
    await eventually(() => reconciler.round() !== first)
    reconciler.replace('o', entries({ a: '2' }))
    const second = reconciler.round()
    reconciler.replace('o', entries({ a: '3' }))
    const third = reconciler.round()
    expect(third).toBe(second)
    open()
    await third
    expect(there()).toEqual({ a: '3' })
    expect(writes(target)).toEqual(['set a', 'set a'])
  })
})

describe('pruning', () => {
  test('waits for permission; what we set ourselves may go before', async () => {
    const { reconciler, there } = setup({ found: '1', wanted: '1' })
    await reconciler.start()
    reconciler.replace('o', entries({ wanted: '2', mine: '1' }))
    await reconciler.round()
    reconciler.remove('o')
    await reconciler.round()
    await reconciler.audit()
    expect(there()).toEqual({ found: '1', wanted: '2' })
    reconciler.allowPrune()
    await reconciler.round()
    expect(there()).toEqual({})
  })
})

describe('failures', () => {
  test('of one key hold up no other, keep the old value, and are tried again at growing distances', async () => {
    const { target, clock, reconciler, there } = setup({ bad: 'old' })
    await reconciler.start()
    target.failKey = (_, key) => (key === 'bad' ? new FaultError('EIO') : undefined)
    reconciler.replace('o', entries({ bad: 'new', good: '1' }))
    await reconciler.round()
    expect(there()).toEqual({ bad: 'old', good: '1' })
    expect(reconciler.status('bad')).toMatchObject({ state: 'error', attempts: 1 })
    expect(reconciler.stats()).toMatchObject({ pending: 1, failing: 1, lastError: { code: 'EIO' } })
    const waits: number[] = []
    for (let attempt = 2; attempt < 7; attempt++) {
      await reconciler.round()
      expect(reconciler.status('bad')).toMatchObject({ attempts: attempt - 1 })
      waits.push(clock.next!)
      clock.step(clock.next!)
      await eventually(() => expect(reconciler.status('bad')).toMatchObject({ attempts: attempt }))
    }
    for (let i = 1; i < waits.length; i++) expect(waits[i]).toBeGreaterThan(waits[i - 1]!)
    target.failKey = () => undefined
    clock.step(clock.next!)
    await eventually(() => expect(there()).toEqual({ bad: 'new', good: '1' }))
    expect(reconciler.status('bad')).toEqual({ state: 'done' })
    expect(reconciler.stats()).toMatchObject({ failing: 0, lastError: undefined })
  })

  test('another value is tried at once', async () => {
    const { target, reconciler, there } = setup()
    target.failKey = () => new FaultError('EIO')
    reconciler.replace('o', entries({ k: '1' }))
    await reconciler.round()
    target.failKey = () => undefined
    reconciler.replace('o', entries({ k: '2' }))
    await reconciler.round()
    expect(there()).toEqual({ k: '2' })
  })

  test('a failure of a value that is not wanted any more does not count against the new one', async () => {
    const { target, reconciler, there } = setup()
    await reconciler.start()
    let open = (): void => undefined
    target.gate = new Promise((resolve) => (open = resolve))
    target.failKey = () => new FaultError('EIO')
    reconciler.replace('o', entries({ k: '1' }))
    const first = reconciler.round()
    await eventually(() => target.busy)
    reconciler.replace('o', entries({ k: '2' }))
    open()
    await first
    expect(reconciler.status('k')).toEqual({ state: 'pending' })
    target.failKey = () => undefined
    await reconciler.round()
    expect(there()).toEqual({ k: '2' })
  })

  test('a key that is not wanted any more is not failing', async () => {
    const { target, clock, reconciler } = setup()
    target.failKey = () => new FaultError('EIO')
    reconciler.replace('o', entries({ k: '1' }))
    await reconciler.round()
    reconciler.remove('o')
    await reconciler.round()
    expect(reconciler.stats()).toMatchObject({ desired: 0, pending: 0, failing: 0 })
    clock.step(60_000)
    await reconciler.round()
    expect(writes(target)).toEqual(['set k'])
  })

  test('a full target refuses the new entry only, and takes it as soon as there is room', async () => {
    const { target, reconciler, there } = setup()
    target.capacity = 2
    reconciler.replace('a', entries({ a: '1' }))
    reconciler.replace('b', entries({ b: '1' }))
    await reconciler.round()
    reconciler.replace('c', entries({ c: '1' }))
    reconciler.replace('a', entries({ a: '2' }))
    await reconciler.round()
    expect(there()).toEqual({ a: '2', b: '1' })
    expect(reconciler.status('c')).toMatchObject({ state: 'error', error: { code: 'BPF_E2BIG' } })
    reconciler.remove('b')
    await reconciler.round()
    expect(there()).toEqual({ a: '2', c: '1' })
    expect(reconciler.status('c')).toEqual({ state: 'done' })
  })

  test('after a rejected write nothing is written before it was read again', async () => {
    const { target, clock, reconciler, there } = setup()
    await reconciler.start()
    let faults = 1
    target.failCall = (verb) => (verb === 'set' && faults-- > 0 ? new FaultError('EIO') : undefined)
    reconciler.replace('o', entries({ a: '1', b: '1', c: '1', d: '1' }))
    await reconciler.round()
    expect(reconciler.status('a')).toEqual({ state: 'pending' })
    reconciler.replace('o2', entries({ e: '1' }))
    await reconciler.round()
    expect(Object.keys(there())).toHaveLength(2)
    target.operations.length = 0
    clock.step(clock.next!)
    await eventually(() => expect(Object.keys(there())).toHaveLength(5))
    expect(target.operations[0]).toEqual(['load'])
    expect(writes(target)).toEqual(['set c', 'set d', 'set e'])
    await eventually(() => expect(reconciler.stats()).toMatchObject({ pending: 0, failing: 0 }))
  })

  test('unreadable at start: nothing is written until it can be read', async () => {
    const { target, clock, reconciler, there } = setup({ old: '1' })
    target.failCall = (verb) => (verb === 'load' ? new FaultError('EIO') : undefined)
    await reconciler.start()
    reconciler.replace('o', entries({ a: '1' }))
    await reconciler.round()
    expect(writes(target)).toEqual([])
    expect(reconciler.stats()).toMatchObject({ pending: 1, failing: 1, lastError: { code: 'EIO' } })
    target.failCall = () => undefined
    clock.step(clock.next!)
    await eventually(() => expect(there()).toEqual({ old: '1', a: '1' }))
  })
})

describe('audit', () => {
  test('repairs what others have changed, and counts it', async () => {
    const { target, reconciler, there } = setup()
    reconciler.replace('o', entries({ a: '1', b: '1', c: '1' }))
    reconciler.allowPrune()
    await reconciler.round()
    target.entries.delete('a')
    target.entries.set('b', value('changed'))
    target.entries.set('x', value('extra'))
    await reconciler.audit()
    expect(there()).toEqual({ a: '1', b: '1', c: '1' })
    expect(reconciler.stats().drift).toBe(3)
    await reconciler.audit()
    expect(reconciler.stats().drift).toBe(3)
  })

  test('comes by itself, again and again, until stopped', async () => {
    const { target, clock, reconciler, there } = setup({}, 60_000)
    await reconciler.start()
    reconciler.replace('o', entries({ a: '1' }))
    await reconciler.round()
    for (let time = 1; time <= 3; time++) {
      target.entries.clear()
      clock.step(clock.next!)
      await eventually(() => expect(there()).toEqual({ a: '1' }))
      await eventually(() => expect(clock.timers).toBe(1))
    }
    await reconciler.stop()
    expect(clock.timers).toBe(0)
    target.entries.clear()
    reconciler.replace('o', entries({ a: '2' }))
    await reconciler.round()
    expect(there()).toEqual({})
  })

  test('what turns out to be right is not failing any more', async () => {
    const { target, reconciler } = setup()
    target.failKey = () => new FaultError('EIO')
    reconciler.replace('o', entries({ a: '1' }))
    await reconciler.round()
    target.entries.set('a', value('1'))
    await reconciler.audit()
    expect(reconciler.status('a')).toEqual({ state: 'done' })
    expect(reconciler.stats().failing).toBe(0)
  })
})

test('a listener that throws does no harm', async () => {
  const target = new MemoryTarget<Value>(new Map(), equals)
  const reconciler = new Reconciler({
    target,
    clock: new SteppedClock(),
    random: Math.random,
    log: silentLog,
    onChange: () => {
      throw new Error('listener')
    },
  })
  reconciler.replace('o', entries({ a: '1' }))
  await reconciler.round()
  expect(reconciler.status('a')).toEqual({ state: 'done' })
})

describe('against a faulty target', () => {
  const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')
  const content = fc.dictionary(key, fc.constantFrom('1', '2', '3'), { maxKeys: 6 })
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('replace' as const), owner: fc.constantFrom('p', 'q'), content }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('round' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('audit' as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('time' as const), ms: fc.integer({ min: 1, max: 5000 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('tamper' as const), key, text: fc.constantFrom(undefined, 'x') }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('faults' as const), keys: fc.subarray(['a', 'b', 'c']) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('reject' as const), verb: fc.constantFrom('load', 'set', 'delete') }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('capacity' as const), room: fc.integer({ min: 0, max: 6 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('prune' as const) }) },
  )

  test('no found entry is deleted before it may, and it converges once the faults end', async () => {
    await fc.assert(
      fc.asyncProperty(content, fc.array(step, { maxLength: 25 }), async (found, steps) => {
        const { target, clock, reconciler, there } = setup(found, 10_000)
        const wanted = new Map<string, Record<string, string>>()
        let rejected: string | undefined
        let pruned = false
        const ours = new Set(Object.keys(found))
        target.failCall = (verb) => {
          if (verb !== rejected) return undefined
          rejected = undefined
          return new FaultError('EIO')
        }
        const noEarlyDelete = (): void => {
          if (pruned) return
          for (const each of target.operations) if (each[0] === 'delete') expect(ours.has(each[1])).toBe(false)
        }
        await reconciler.start()
        for (const each of steps) {
          if (each.do === 'replace') {
            wanted.set(each.owner, each.content)
            reconciler.replace(each.owner, entries(each.content))
          } else if (each.do === 'round') await reconciler.round()
          else if (each.do === 'audit') await reconciler.audit()
          else if (each.do === 'time') clock.step(each.ms)
          else if (each.do === 'tamper') {
            if (each.text === undefined) {
              target.entries.delete(each.key)
              ours.delete(each.key)
            } else target.entries.set(each.key, value(each.text))
          } else if (each.do === 'faults') {
            target.failKey = (_, one) => (each.keys.includes(one) ? new FaultError('EIO') : undefined)
          } else if (each.do === 'reject') rejected = each.verb
          else if (each.do === 'capacity') target.capacity = each.room
          else {
            pruned = true
            reconciler.allowPrune()
          }
          noEarlyDelete()
        }
        rejected = undefined
        target.failKey = () => undefined
        target.capacity = Infinity
        pruned = true
        reconciler.allowPrune()
        await reconciler.audit()
        clock.step(31_000)
        await reconciler.round()
        await reconciler.audit()
        expect(there()).toEqual({ ...wanted.get('q'), ...wanted.get('p') })
        expect(reconciler.stats()).toMatchObject({ pending: 0, failing: 0 })
        await reconciler.stop()
        expect(clock.timers).toBe(0)
      }),
      { numRuns: 300 },
    )
  })
})
