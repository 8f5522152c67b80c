import type { Address } from '../../../agent/types/address.ts'
import type { IpEntry } from '../../../agent/types/identity.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { IpTable } from '../../../agent/state/ip-table.ts'
import { Table } from '../../../agent/state/table.ts'
import { formatCidr, maskAddress } from '../../../agent/types/address.ts'

/** Few prefixes and clusters, so that rows meet; the last two names do not fit and are not kept. */
const names = fc.constantFrom(undefined, 'a', 'default', 'webpod-697b545f57-75q89', 'ü'.repeat(20), 'x'.repeat(255))
const rows: fc.Arbitrary<IpEntry> = fc
  .record({
    cluster: fc.constantFrom('east', 'north', 'west'),
    address: fc.integer({ min: 0, max: 40 }).map((n) => (n * 0x06000001) as Address),
    bits: fc.constantFrom(0, 8, 24, 31, 32),
    identity: fc.integer({ min: 0, max: 0xffffffff }),
    hostAddress: fc.option(
      fc.integer({ min: 0, max: 0xffffffff }).map((n) => n as Address),
      { nil: undefined },
    ),
    namespace: names,
    podName: names,
  })
  .map(({ address, bits, ...rest }) => {
    const prefix = { address: maskAddress(address, bits), bits }
    return { key: `${rest.cluster}/${formatCidr(prefix)}`, prefix, ...rest }
  })

const byKey = (a: IpEntry, b: IpEntry): number => (a.key < b.key ? -1 : 1)

test('holds what a plain table holds', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), rows), { maxLength: 300 }), (steps) => {
      const model = new Table<IpEntry, 'prefix'>((row) => row.key, { prefix: (row) => formatCidr(row.prefix) })
      const table = new IpTable()
      for (const [removes, row] of steps) {
        if (removes) expect(table.remove(row.key)).toBe(model.remove(row.key) !== undefined)
        else {
          table.put(row)
          model.put(row)
        }
      }
      expect(table.size).toBe(model.size)
      expect([...table.values()].sort(byKey)).toEqual([...model.values()].sort(byKey))
      for (const [, row] of steps) {
        const prefix = formatCidr(row.prefix)
        expect(table.get(row.key)).toEqual(model.get(row.key))
        expect([...table.by('prefix', prefix)].sort(byKey)).toEqual([...model.by('prefix', prefix)].sort(byKey))
      }
      for (const cluster of ['east', 'north', 'west']) {
        expect(table.count(cluster)).toBe([...model.values()].filter((row) => row.cluster === cluster).length)
      }
    }),
    { numRuns: 200 },
  )
})

test('ten thousand rows come and go, and the room of their names is used again', () => {
  const table = new IpTable()
  const row = (n: number, name: string): IpEntry => ({
    key: `east/${formatCidr({ address: n as Address, bits: 32 })}`,
    ...{ cluster: 'east', prefix: { address: n as Address, bits: 32 }, identity: n, hostAddress: undefined },
    ...{ namespace: 'default', podName: `${name}-${n}` },
  })
  for (let round = 0; round < 5; round++) {
    for (let n = 0; n < 10_000; n++) table.put(row(n * 7919, `round-${round}`))
    expect(table.size).toBe(10_000)
    for (let n = 0; n < 10_000; n += 3)
      expect(table.get(row(n * 7919, '').key)).toEqual(row(n * 7919, `round-${round}`))
    for (let n = 0; n < 10_000; n++) if (n % 2 === round % 2) table.remove(row(n * 7919, '').key)
    expect(table.size).toBe(5000)
  }
})
