import type { IpcacheEntry } from '../../../agent/types/datapath.ts'
import type { Address } from '../../../agent/types/address.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Delta } from '../../../agent/reconcile/delta.ts'
import { PrefixDelta } from '../../../agent/reconcile/prefix-delta.ts'
import { IPCACHE_ROWS } from '../../../agent/reconcile/ipcache-rows.ts'
import { formatCidr } from '../../../agent/types/address.ts'

const prefixes = fc.integer({ min: 0, max: 6 }).map((n) => ({ address: (n << 8) as Address, bits: n === 0 ? 0 : 32 }))
const entries: fc.Arbitrary<IpcacheEntry> = fc.record({
  prefix: prefixes,
  identity: fc.constantFrom(1, 0xffffffff),
  tunnel: fc.constantFrom(undefined, 0xffffffff as Address),
  clusterId: fc.constantFrom(0, 255),
  remoteCluster: fc.boolean(),
  isNode: fc.constant(false),
  takesDsr: fc.boolean(),
})
const step = fc.oneof(
  fc.record({ kind: fc.constantFrom('want', 'unwant', 'set', 'deleted'), entry: entries }),
  fc.record({ kind: fc.constant('loaded'), found: fc.array(entries, { maxLength: 5 }), inPieces: fc.boolean() }),
  fc.record({ kind: fc.constant('prune') }),
)

/** As `loaded`, every entry twice. */
function loadedInPieces(delta: PrefixDelta<IpcacheEntry>, found: readonly IpcacheEntry[]): number {
  const scan = delta.scan()
  let drift = 0
  for (const entry of [...found, ...found]) drift += scan.found([entry])
  for (const key of [...scan.missing()].flat()) {
    delta.wasDeleted(key)
    drift++
  }
  return drift
}

test('is in the state of a Delta after whatever happens', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const model = new Delta<IpcacheEntry>((a, b) => JSON.stringify(a) === JSON.stringify(b))
      const delta = new PrefixDelta(IPCACHE_ROWS)
      for (const each of steps) {
        const answers = [model, delta].map((side) => {
          if ('found' in each) {
            const found = new Map(each.found.map((entry) => [formatCidr(entry.prefix), entry]))
            return each.inPieces && side === delta ? loadedInPieces(delta, [...found.values()]) : side.loaded(found)
          }
          if (!('entry' in each)) return side.allowPrune()
          const key = formatCidr(each.entry.prefix)
          if (each.kind === 'want') return side.replace(key, new Map([[key, each.entry]]))
          if (each.kind === 'unwant') return side.replace(key, new Map())
          if (each.kind === 'set') return side.wasSet(key, each.entry)
          return side.wasDeleted(key)
        })
        expect(answers[1]).toEqual(answers[0])
        expect([...delta.todo].sort()).toEqual([...model.todo].sort())
        expect([delta.desired, delta.actual]).toEqual([model.desired, model.actual])
        for (let n = 0; n <= 6; n++) {
          const key = formatCidr({ address: (n << 8) as Address, bits: n === 0 ? 0 : 32 })
          expect(delta.wanted(key)).toEqual(model.wanted(key))
          expect(delta.there(key)).toEqual(model.there(key))
        }
        expect(new Map(delta.wantedEntries())).toEqual(new Map(model.wantedEntries()))
      }
    }),
    { numRuns: 300 },
  )
})

test('what is set or deleted while a scan is under way is no drift, and a later scan ends an earlier one', () => {
  const entry = (n: number, identity = 1): IpcacheEntry => ({
    ...{ prefix: { address: n as Address, bits: 32 }, identity, tunnel: undefined, clusterId: 1 },
    ...{ remoteCluster: false, isNode: false, takesDsr: false },
  })
  const key = (n: number): string => formatCidr(entry(n).prefix)
  const delta = new PrefixDelta(IPCACHE_ROWS)
  for (const n of [1, 2, 3, 4]) {
    delta.replace(key(n), new Map([[key(n), entry(n)]]))
    delta.wasSet(key(n), entry(n))
  }
  const scan = delta.scan()
  expect(scan.found([entry(1)])).toBe(0)
  delta.wasSet(key(5), entry(5))
  delta.wasSet(key(2), entry(2, 7))
  delta.wasDeleted(key(3))
  expect(scan.found([entry(2, 7)])).toBe(0)
  expect([...scan.missing()].flat()).toEqual([key(4)])
  expect(scan.current).toBe(true)
  delta.scan()
  expect(scan.current).toBe(false)
})
