import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { MaglevBackend } from '../../../agent/desired/maglev.ts'
import { fillTable, maglevTable, packetHash4, packetSlot4, parseMaglevSeed } from '../../../agent/desired/maglev.ts'
import { maglevSizeFor } from '../../../agent/desired/maglev-size.ts'
import { DEFAULT_MAGLEV_SEED, MAGLEV_SIZES } from '../../../agent/types/maglev.ts'
import { jhash6 } from '../../../agent/lib/jhash.ts'
import { parseAddress } from '../../../agent/types/address.ts'
import type { Protocol } from '../../../agent/types/service.ts'

const SEED = parseMaglevSeed(DEFAULT_MAGLEV_SEED)

function backend(text: string, protocol: Protocol = 6, weight = 100): MaglevBackend {
  const [address, port] = text.split(':')
  return { address: parseAddress(address!)!, port: Number(port), protocol, weight }
}

function sha(table: Uint32Array): string {
  return createHash('sha256')
    .update(Buffer.from(table.buffer, table.byteOffset, table.byteLength))
    .digest('hex')
}

function counts(table: Uint32Array, ids: readonly number[]): number[] {
  return ids.map((id) => table.filter((each) => each === id).length)
}

const WEBPOD = ['10.0.0.46:80', '10.0.1.219:80', '10.1.0.190:80', '10.1.1.41:80'].map((each) => backend(each))
const IDS = [1, 2, 3, 4]

describe('published tables', () => {
  test('seed', () => expect(SEED).toEqual({ table: 0x24b7ef82, packet4: 0x71dcda46, packet6: 0x92505688 }))

  test('T0: weighted, ids from 0', () => {
    const backends = [
      backend('0.0.0.1:1', 6, 2),
      backend('0.0.0.3:3', 6, 13),
      backend('0.0.0.4:4', 6, 111),
      backend('0.0.0.5:5', 6, 10),
    ]
    const table = maglevTable(backends, 251, SEED.table)
    expect([...table.slice(0, 9)]).toEqual([2, 2, 2, 2, 2, 3, 2, 2, 2])
    expect(sha(table)).toBe('5fe6843f022f1cc4489ef16d7a783acd468ad4ee047d277b54205043bddb1697')
  })

  test('T0: shares follow the weights', () => {
    const weights = [2, 13, 111, 10]
    const backends = weights.map((weight, i) => backend(`0.0.0.${i + 1}:${i + 1}`, 6, weight))
    expect(counts(maglevTable(backends, 1021, SEED.table), [0, 1, 2, 3])).toEqual([16, 98, 832, 75])
  })

  test('T1: four equal backends, both sizes', () => {
    const small = maglevTable(WEBPOD, 251, SEED.table, IDS)
    expect([...small.slice(0, 20)]).toEqual([3, 1, 3, 2, 3, 2, 1, 4, 4, 3, 1, 1, 2, 4, 3, 4, 4, 3, 3, 1])
    expect([...small.slice(-8)]).toEqual([3, 3, 4, 4, 2, 1, 2, 4])
    expect(counts(small, IDS)).toEqual([63, 63, 63, 62])
    expect(sha(small)).toBe('5989e83ec96ba93b432da3896cc8bb251b35821eba1761d483dd2f45a63e84f1')
    const large = maglevTable(WEBPOD, 16381, SEED.table, IDS)
    expect(counts(large, IDS)).toEqual([4096, 4095, 4095, 4095])
    expect(sha(large)).toBe('6f6e56459f5a466ce7c9bfbbef1378886d2e2db89b803f37093690d01f13f9c9')
  })

  test('T2: UDP, ordered by name and not by address', () => {
    const backends = ['192.168.10.5:53', '192.168.10.40:53', '192.168.20.9:53'].map((each) => backend(each, 17))
    const table = maglevTable(backends, 251, SEED.table, [7, 9, 12])
    expect(counts(table, [7, 9, 12])).toEqual([84, 84, 83])
    expect(sha(table)).toBe('23ac81d6fb219d522b44eba5d62d573b1c747e221c314b5bb9db2528b9f9a40f')
  })

  test('T3: weights 1, 3, 6', () => {
    const backends = [
      backend('10.244.1.5:8080', 6, 1),
      backend('10.245.1.6:8080', 6, 3),
      backend('10.244.1.6:8080', 6, 6),
    ]
    const table = maglevTable(backends, 251, SEED.table, [1, 2, 3])
    expect(counts(table, [1, 2, 3])).toEqual([26, 75, 150])
    expect(sha(table)).toBe('2b1beaf3d747d3b1a0c39c7ace3ffac3fff45a8f1657692a0701e60ebd8d7472')
  })

  test('T4: IPv6 names', () => {
    const names = ['fd00:10:244::5', 'fd00:10:245::6'].map((each) => `[[${each}]:8080/TCP,State:active]`)
    const table = fillTable(names, () => 100, 251, SEED.table, [1, 2])
    expect(counts(table, [1, 2])).toEqual([126, 125])
    expect(sha(table)).toBe('ed2fe537f81b63269e2a1faaaa59737f958c64f1a80eb38bf1130eda59063f58')
  })
})

describe('packet to slot', () => {
  const cases: [client: string, port: number, protocol: Protocol, hash: number, small: number, large: number][] = [
    ['192.168.1.10:40000', 80, 6, 0x05209851, 7, 5594],
    ['192.168.1.10:40001', 80, 6, 0x90574879, 74, 3297],
    ['192.168.1.11:40000', 80, 6, 0xf8567b74, 247, 8204],
    ['192.168.1.10:0', 80, 6, 0x25f5055d, 75, 3310],
    ['10.20.30.40:53123', 53, 17, 0x15e03212, 210, 14494],
  ]
  test.each(cases)('%s to port %d', (client, port, protocol, hash, small, large) => {
    const { address: source, port: sourcePort } = backend(client)
    const packet = { source, sourcePort, port, protocol }
    expect(packetHash4(packet, SEED)).toBe(hash)
    expect(packetSlot4(packet, SEED, 251)).toBe(small)
    expect(packetSlot4(packet, SEED, 16381)).toBe(large)
  })

  test('through the T1 table', () => {
    const table = maglevTable(WEBPOD, 251, SEED.table, IDS)
    expect([7, 74, 247, 75].map((slot) => table[slot])).toEqual([4, 4, 2, 4])
  })

  test('IPv6 words', () => {
    // 2001:db8::10, loaded as little-endian words; ports 40000 and 80 in network order.
    const source = [0xb80d0120, 0, 0, 0x10000000] as const
    const [a, b, c, d] = source
    const swapped = (port: number): number => ((port & 255) << 8) | (port >>> 8)
    const hash = (sport: number): number => jhash6([a, b, c, d, (swapped(80) << 16) | swapped(sport), 6], SEED.packet6)
    expect(hash(40000)).toBe(0xa762d9b4)
    expect(hash(0)).toBe(0x91cd3e60)
  })
})

describe('properties', () => {
  const backends = fc.uniqueArray(
    fc.record({
      address: fc.nat(0xffffffff).map((each) => each as MaglevBackend['address']),
      port: fc.integer({ min: 1, max: 65535 }),
      protocol: fc.constantFrom<Protocol>(6, 17, 132),
      weight: fc.constant(100),
    }),
    { minLength: 1, maxLength: 30, selector: (each) => `${each.address}:${each.port}:${each.protocol}` },
  )

  test('the order of the list does not matter', () => {
    fc.assert(
      fc.property(backends, fc.nat(), (list, turn) => {
        const ids = list.map((_, i) => i + 1)
        const shift = turn % list.length
        const rotate = <T>(array: readonly T[]): T[] => [...array.slice(shift), ...array.slice(0, shift)]
        expect(maglevTable(rotate(list), 251, SEED.table, rotate(ids))).toEqual(maglevTable(list, 251, SEED.table, ids))
      }),
    )
  })

  test('equal weights share to within one entry', () => {
    fc.assert(
      fc.property(backends, fc.integer({ min: 1, max: 65535 }), (list, weight) => {
        const table = maglevTable(
          list.map((each) => ({ ...each, weight })),
          1021,
          SEED.table,
        )
        const shares = counts(
          table,
          list.map((_, i) => i),
        )
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
      }),
    )
  })

  test('unequal weights share in proportion', () => {
    fc.assert(
      fc.property(
        backends,
        fc.array(fc.integer({ min: 50, max: 500 }), { minLength: 30, maxLength: 30 }),
        (list, weights) => {
          const weighted = list.map((each, i) => ({ ...each, weight: weights[i]! }))
          const total = weighted.reduce((sum, each) => sum + each.weight, 0)
          const table = maglevTable(weighted, 4093, SEED.table)
          const shares = counts(
            table,
            list.map((_, i) => i),
          )
          for (const [i, share] of shares.entries()) {
            expect(Math.abs(share - (4093 * weighted[i]!.weight) / total)).toBeLessThan(4093 * 0.02 + 2)
          }
        },
      ),
    )
  })

  test('losing one of n backends moves few entries of the others', () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 100 }), (n) => {
        const list = Array.from({ length: n }, (_, i) => backend(`10.0.0.${i + 1}:80`))
        const before = maglevTable(
          list,
          16381,
          SEED.table,
          list.map((_, i) => i),
        )
        const after = maglevTable(
          list.slice(1),
          16381,
          SEED.table,
          list.slice(1).map((_, i) => i + 1),
        )
        const moved = before.filter((each, slot) => each !== 0 && after[slot] !== each).length
        expect(moved / 16381).toBeLessThan(0.03)
      }),
      { numRuns: 10 },
    )
  })
})

describe('sizes', () => {
  test('are prime', () => {
    for (const size of MAGLEV_SIZES) {
      for (let d = 2; d * d <= size; d++) expect(size % d).not.toBe(0)
    }
  })
  test.each([
    [0, 0],
    [1, 251],
    [2, 251],
    [3, 509],
    [10, 1021],
    [163, 16381],
    [164, 32749],
    [5000, 131071],
  ])('auto for %d backends is %d', (backends, size) => expect(maglevSizeFor('auto', backends)).toBe(size))
  test('a table that is too small is refused', () => {
    expect(() => maglevTable(WEBPOD, 3, SEED.table)).toThrow(/cannot hold 4 backends/)
    expect(() => parseMaglevSeed('short')).toThrow(/12 bytes/)
  })
})
