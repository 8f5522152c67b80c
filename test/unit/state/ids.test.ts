import fc from 'fast-check'
import { expect, test } from 'vitest'
import { GRACE_MS, IdPool } from '../../../agent/state/ids.ts'
import { handClock } from './hand-clock.ts'

test('no id is given out twice, nor before its grace is over', () => {
  const op = fc.oneof(
    { weight: 5, arbitrary: fc.constant({ kind: 'allocate' } as const) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('release' as const), pick: fc.nat(1000) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('reserve' as const), id: fc.integer({ min: -1, max: 14 }) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('step' as const), ms: fc.integer({ min: 0, max: GRACE_MS }) }),
    },
  )
  fc.assert(
    fc.property(fc.array(op, { maxLength: 200 }), (ops) => {
      const clock = handClock()
      const pool = new IdPool({ capacity: 12, what: 'id', clock })
      const used = new Set<number>()
      const released = new Map<number, number>()
      for (const each of ops) {
        if (each.kind === 'step') clock.step(each.ms)
        else if (each.kind === 'reserve') {
          const free = each.id >= 1 && each.id <= 12 && !used.has(each.id)
          expect(pool.reserve(each.id)).toBe(free)
          if (free) used.add(each.id)
          if (free) released.delete(each.id)
        } else if (each.kind === 'release') {
          const id = [...used][each.pick % Math.max(used.size, 1)]
          if (id === undefined) continue
          pool.release(id)
          used.delete(id)
          released.delete(id)
          released.set(id, clock.now())
        } else {
          const usable = Array.from({ length: 12 }, (_, i) => i + 1).filter(
            (id) => !used.has(id) && (released.get(id) ?? -GRACE_MS) <= clock.now() - GRACE_MS,
          )
          if (usable.length === 0) {
            expect(() => pool.allocate()).toThrow(expect.objectContaining({ code: 'map-full' }))
            continue
          }
          const id = pool.allocate()
          expect(usable).toContain(id)
          const oldest = [...released.keys()].find((each) => usable.includes(each))
          // Never used ones first, then the one released longest ago.
          if (released.has(id)) expect(usable.every((each) => released.has(each)) && id === oldest).toBe(true)
          used.add(id)
          released.delete(id)
        }
        expect(pool.used).toBe(used.size)
      }
    }),
  )
})

test('releasing what is not in use changes nothing', () => {
  const clock = handClock()
  const pool = new IdPool({ capacity: 2, what: 'id', clock })
  pool.release(1)
  pool.release(7)
  expect([pool.allocate(), pool.allocate()]).toEqual([1, 2])
  pool.release(1)
  pool.release(1)
  clock.step(GRACE_MS)
  expect(pool.allocate()).toBe(1)
  expect(() => pool.allocate()).toThrow('no id left: 2 of 2 in use, 0 released a moment ago')
})
