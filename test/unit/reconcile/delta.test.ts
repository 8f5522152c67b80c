import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Delta } from '../../../agent/reconcile/delta.ts'

/** Values are equal to a target by `text`; `rank` decides between owners. */
interface Value {
  readonly text: string
  readonly rank: number
}

const value = (text: string, rank = 0): Value => ({ text, rank })
const equals = (a: Value, b: Value): boolean => a.text === b.text

/** The same rules, written down without any bookkeeping. */
class Model {
  readonly owners = new Map<string, Map<string, Value>>()
  readonly there = new Map<string, Value>()
  readonly found = new Set<string>()
  mayPrune = false

  wanted(key: string): Value | undefined {
    return [...this.owners]
      .filter(([, entries]) => entries.has(key))
      .map(([owner, entries]) => ({ owner, value: entries.get(key)! }))
      .sort((a, b) => a.value.rank - b.value.rank || (a.owner < b.owner ? -1 : 1))[0]?.value
  }

  keys(): string[] {
    return [...new Set([...this.there.keys(), ...[...this.owners.values()].flatMap((each) => [...each.keys()])])]
  }

  todo(): string[] {
    return this.keys().filter((key) => {
      const wanted = this.wanted(key)
      const there = this.there.get(key)
      if (wanted === undefined) return there !== undefined && (this.mayPrune || !this.found.has(key))
      return there === undefined || !equals(wanted, there)
    })
  }
}

describe('against a model', () => {
  const key = fc.constantFrom('a', 'b', 'c', 'd', 'e')
  const anyValue = fc.record({ text: fc.constantFrom('x', 'y', 'z'), rank: fc.integer({ min: 0, max: 2 }) })
  const step = fc.oneof(
    fc.record({
      do: fc.constant('replace' as const),
      owner: fc.constantFrom('o1', 'o2', 'o3'),
      entries: fc.array(fc.tuple(key, anyValue), { maxLength: 4 }),
    }),
    fc.record({ do: fc.constant('loaded' as const), entries: fc.array(fc.tuple(key, anyValue), { maxLength: 5 }) }),
    fc.record({ do: fc.constant('apply' as const), key }),
    fc.record({ do: fc.constant('prune' as const) }),
  )

  test('todo, wanted and counts are what the rules say, after any history', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const delta = new Delta(equals, (each) => each.rank)
        const model = new Model()
        for (const each of steps) {
          if (each.do === 'replace') {
            const before = new Map(model.keys().map((one) => [one, model.wanted(one)] as const))
            const entries = new Map<string, Value>(each.entries)
            model.owners.set(each.owner, entries)
            const changed = delta.replace(each.owner, entries)
            const expected = [...new Set([...before.keys(), ...entries.keys()])].filter((one) => {
              const [a, b] = [before.get(one), model.wanted(one)]
              return a === undefined || b === undefined ? a !== b : !equals(a, b)
            })
            expect(new Set(changed)).toEqual(new Set(expected))
          } else if (each.do === 'loaded') {
            const entries = new Map<string, Value>(each.entries)
            const all = new Set([...entries.keys(), ...model.there.keys()])
            const drift = [...all].filter((one) => {
              const [a, b] = [model.there.get(one), entries.get(one)]
              return a === undefined || b === undefined || !equals(a, b)
            })
            for (const one of entries.keys()) if (!model.there.has(one)) model.found.add(one)
            model.there.clear()
            for (const [one, there] of entries) model.there.set(one, there)
            for (const one of model.found) if (!entries.has(one)) model.found.delete(one)
            expect(delta.loaded(entries)).toBe(drift.length)
          } else if (each.do === 'prune') {
            model.mayPrune = true
            delta.allowPrune()
          } else if (delta.todo.has(each.key)) {
            const wanted = delta.wanted(each.key)
            if (wanted === undefined) {
              delta.wasDeleted(each.key)
              model.there.delete(each.key)
              model.found.delete(each.key)
            } else {
              delta.wasSet(each.key, wanted)
              if (!model.there.has(each.key)) model.found.delete(each.key)
              model.there.set(each.key, wanted)
            }
          }
          expect([...delta.todo].sort()).toEqual(model.todo().sort())
          for (const one of ['a', 'b', 'c', 'd', 'e']) {
            expect(delta.wanted(one)?.text).toBe(model.wanted(one)?.text)
            expect(delta.there(one)?.text).toBe(model.there.get(one)?.text)
          }
          expect(delta.desired).toBe(model.keys().filter((one) => model.wanted(one) !== undefined).length)
          expect(delta.actual).toBe(model.there.size)
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('several owners of one key', () => {
  test('lower rank, then name; the next takes over when one lets go; in any order of arrival', () => {
    const claims: [string, Value][] = [
      ['m', value('node port', 1)],
      ['z', value('explicit', 0)],
      ['a', value('other node port', 1)],
    ]
    for (const order of [claims, [...claims].reverse()]) {
      const delta = new Delta(equals, (each) => each.rank)
      for (const [owner, claim] of order) delta.replace(owner, new Map([['k', claim]]))
      expect(delta.wanted('k')?.text).toBe('explicit')
      const [conflict] = delta.conflicts()
      expect(conflict).toMatchObject({ key: 'k', winner: { owner: 'z' } })
      expect(conflict!.losers.map((each) => each.owner)).toEqual(['a', 'm'])
      delta.replace('z', new Map())
      expect(delta.wanted('k')?.text).toBe('other node port')
      delta.replace('a', new Map())
      expect(delta.wanted('k')?.text).toBe('node port')
      expect([...delta.conflicts()]).toEqual([])
      delta.replace('m', new Map())
      expect(delta.wanted('k')).toBeUndefined()
    }
  })
})

test('the newest of equal objects is kept and nothing is to be done', () => {
  const delta = new Delta(equals)
  const [first, second] = [value('x'), value('x')]
  delta.replace('o', new Map([['k', first]]))
  delta.wasSet('k', first)
  expect(delta.replace('o', new Map([['k', second]]))).toEqual([])
  expect(delta.wanted('k')).toBe(second)
  expect(delta.todo.size).toBe(0)
})
