import fc from 'fast-check'
import { expect, test } from 'vitest'
import { GRACE_MS } from '../../../agent/state/ids.ts'
import { Regions } from '../../../agent/state/regions.ts'
import { handClock } from './hand-clock.ts'

const SIZE = 200

const op = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('allocate' as const), length: fc.integer({ min: 1, max: 60 }) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('free' as const), pick: fc.nat(1000) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('reserve' as const),
      offset: fc.integer({ min: -2, max: SIZE }),
      length: fc.integer({ min: 0, max: 30 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('step' as const), ms: fc.integer({ min: 0, max: GRACE_MS }) }),
  },
)

test('regions never overlap, and no element comes back before its grace is over', () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 150 }), (ops) => {
      const clock = handClock()
      const regions = new Regions({ size: SIZE, what: 'slots', clock })
      const used = new Map<number, number>()
      const owned = new Array<boolean>(SIZE).fill(false)
      const usableFrom = new Array<number>(SIZE).fill(0)
      const take = (offset: number, length: number): void => {
        used.set(offset, length)
        owned.fill(true, offset, offset + length)
      }
      for (const each of ops) {
        if (each.kind === 'step') clock.step(each.ms)
        else if (each.kind === 'reserve') {
          const { offset, length } = each
          const inside = offset >= 0 && length >= 1 && offset + length <= SIZE
          const got = regions.reserve(offset, length)
          if (got) expect(inside && !owned.slice(offset, offset + length).includes(true)).toBe(true)
          if (got) take(offset, length)
        } else if (each.kind === 'free') {
          const offset = [...used.keys()][each.pick % Math.max(used.size, 1)]
          if (offset === undefined) continue
          const length = used.get(offset)!
          regions.free(offset)
          used.delete(offset)
          owned.fill(false, offset, offset + length)
          usableFrom.fill(clock.now() + GRACE_MS, offset, offset + length)
        } else {
          const free = owned.map((taken, i) => !taken && usableFrom[i]! <= clock.now())
          const fits = longest(free) >= each.length
          if (!fits) {
            expect(() => regions.allocate(each.length)).toThrow(expect.objectContaining({ code: 'map-full' }))
            continue
          }
          const offset = regions.allocate(each.length)
          expect(free.slice(offset, offset + each.length)).toEqual(new Array(each.length).fill(true))
          take(offset, each.length)
        }
        expect(regions.used).toBe([...used.values()].reduce((sum, length) => sum + length, 0))
      }
      // Neighbours merge: with everything given back, all of it is one region again.
      for (const offset of used.keys()) regions.free(offset)
      clock.step(GRACE_MS)
      expect(regions.allocate(SIZE)).toBe(0)
    }),
  )
})

function longest(free: readonly boolean[]): number {
  let best = 0
  let run = 0
  for (const each of free) {
    run = each ? run + 1 : 0
    best = Math.max(best, run)
  }
  return best
}

test('an empty array is full', () => {
  const regions = new Regions({ size: 0, what: 'slots', clock: handClock() })
  expect(() => regions.allocate(1)).toThrow('no room for 1 slots: 0 of 0 in use')
})
