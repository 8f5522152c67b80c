import fc from 'fast-check'
import oracle from 'murmurhash3js-revisited'
import { expect, test } from 'vitest'
import { murmur3x64 } from '../../../agent/lib/murmur3.ts'

function hash(bytes: Uint8Array, seed: number): string {
  const out = new Uint32Array(4)
  murmur3x64(bytes, bytes.length, seed, out)
  return [...out].map((limb) => limb.toString(16).padStart(8, '0')).join('')
}

test('agrees with another implementation on any bytes and seed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(0xffffffff), (bytes, seed) => {
      expect(hash(bytes, seed)).toBe(oracle.x64.hash128(bytes, seed))
    }),
    { numRuns: 2000 },
  )
})

test('extreme bytes of every length up to three blocks', () => {
  for (let length = 0; length <= 48; length++) {
    for (const byte of [0, 0x7f, 0x80, 0xff]) {
      const bytes = new Uint8Array(length).fill(byte)
      expect(hash(bytes, 0xffffffff)).toBe(oracle.x64.hash128(bytes, 0xffffffff))
    }
  }
})

test('hashes only the bytes it is told to', () => {
  const out = new Uint32Array(4)
  const other = new Uint32Array(4)
  murmur3x64(Uint8Array.of(1, 2, 3, 250, 251), 3, 7, out)
  murmur3x64(Uint8Array.of(1, 2, 3), 3, 7, other)
  expect(out).toEqual(other)
})
