import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Variable } from '../../../native/btf.ts'
import { checkLayout, layoutDifferences } from '../../../native/layout.ts'
import { encodeRodata } from '../../../native/rodata.ts'
import { BpfError } from '../../../native/errors.ts'

const variable = (size: number, signed: boolean, scalar = true): Variable => ({
  name: 'v',
  section: '.rodata',
  offset: 0,
  size,
  type: 't',
  signed,
  scalar,
})

describe('encodeRodata', () => {
  it('writes any value that fits, and nothing else', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 4, 8),
        fc.boolean(),
        fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }),
        (size, signed, value) => {
          const bits = BigInt(8 * size)
          const [low, high] = signed ? [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n] : [0n, (1n << bits) - 1n]
          const encode = (): Buffer => encodeRodata(variable(size, signed), value)
          if (value < low || value > high) {
            expect(encode).toThrow(BpfError)
            return
          }
          const raw = [...encode()].reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
          expect(signed ? BigInt.asIntN(8 * size, raw) : raw).toBe(value)
        },
      ),
    )
  })

  it('takes booleans, and exact bytes for what is no scalar', () => {
    expect(encodeRodata(variable(1, false), true)).toEqual(Buffer.from([1]))
    expect(encodeRodata(variable(3, false, false), Buffer.from([1, 2, 3]))).toEqual(Buffer.from([1, 2, 3]))
    expect(() => encodeRodata(variable(3, false, false), 1)).toThrow('give bytes')
    expect(() => encodeRodata(variable(3, false, false), Buffer.alloc(4))).toThrow('4 bytes does not fit')
    expect(() => encodeRodata(variable(4, false), 1.5)).toThrow(BpfError)
    expect(() => encodeRodata(variable(4, false), Number.NaN)).toThrow(BpfError)
  })
})

describe('layout', () => {
  const base = { type: 1, keySize: 12, valueSize: 24, maxEntries: 100, flags: 0 }

  it('names each difference and nothing else', () => {
    expect(layoutDifferences(base, base)).toEqual([])
    expect(layoutDifferences({ ...base, type: 9, maxEntries: 50 }, base)).toEqual([
      'type is LRU_HASH, the object wants HASH',
      'max_entries is 50, the object wants 100',
    ])
    expect(layoutDifferences({ ...base, keySize: 1, valueSize: 2, flags: 1024 }, base)).toHaveLength(3)
  })

  it('is an error that says what to do', () => {
    expect(() => checkLayout('m', 'pinned at /p', { ...base, flags: 1 }, base)).toThrow(
      /'m': the map pinned at \/p has another layout: map_flags is 1, the object wants 0; migrate/,
    )
  })
})
