import type { Revisions } from '../../../agent/sources/mesh/revisions.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AddressRevisions, TextRevisions } from '../../../agent/sources/mesh/revisions.ts'

const tails = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.9.0.3', '172.16.0.4', '10.0.1.0/24', 'fd00::1', 'x')
const step = fc.oneof(
  fc.record({ kind: fc.constant('note'), tail: tails, revision: fc.constantFrom(1, 2, 2 ** 32, 2 ** 32 + 1) }),
  fc.record({ kind: fc.constantFrom('assume', 'forget'), tail: tails }),
  fc.record({ kind: fc.constantFrom('stale', 'begin', 'end') }),
)

/** What a step answers; a list that ends reports what is missing, and that is forgotten. */
function run(side: Revisions, each: { kind: string; tail?: string; revision?: number }, listing: boolean): unknown {
  const { kind, tail = '', revision = 0 } = each
  const bytes = Buffer.from(`prefix/${tail}`)
  if (kind === 'note') return side.note(bytes, 7, bytes.length, revision)
  if (kind === 'assume') return side.assume(tail)
  if (kind === 'forget') return side.forget(tail)
  if (kind === 'stale') return side.stale()
  if (kind === 'begin') return side.beginList()
  const missing: string[] = []
  if (listing) for (const some of side.missing(2)) for (const gone of some) if (side.forget(gone)) missing.push(gone)
  return missing.sort()
}

test('addresses are known as texts are, over any number of lists and stores', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const sides = [new TextRevisions(), new AddressRevisions()]
      let listing = false
      let begun = false
      for (const each of steps) {
        if (each.kind === 'assume' && begun) continue
        if (each.kind === 'begin' || each.kind === 'end') begun = each.kind === 'begin'
        const [model, columns] = sides.map((side) => run(side, each, listing))
        expect(columns).toEqual(model)
        // A list that is begun and empty knows of nothing that could be missing.
        if (each.kind === 'begin') listing = sides[0]!.size > 0
        if (each.kind === 'end') listing = false
        expect(sides[1]!.size).toBe(sides[0]!.size)
      }
      // An empty list shows what is known.
      const [model, columns] = sides.map((side) => {
        side.beginList()
        return [...side.missing(3)].flat().sort()
      })
      expect(columns).toEqual(model)
    }),
    { numRuns: 150 },
  )
})

test('twenty lists and stores later a row of the first is still none of the last', () => {
  const known = new AddressRevisions()
  const bytes = Buffer.from('10.0.0.1')
  for (let i = 0; i < 20; i++) {
    known.stale()
    known.beginList()
    expect([...known.missing(10)].flat()).toEqual(i === 0 ? [] : ['10.0.0.1'])
    expect(known.note(bytes, 0, bytes.length, 1)).toBe(true)
    expect(known.note(bytes, 0, bytes.length, 1)).toBe(false)
  }
  for (let i = 0; i < 16; i++) known.stale()
  expect(known.note(bytes, 0, bytes.length, 1)).toBe(true)
})
