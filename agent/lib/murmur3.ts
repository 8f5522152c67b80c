/**
 * MurmurHash3 x64-128 (Austin Appleby, public domain description), on 32-bit limbs: JavaScript has no 64-bit integers and
 * BigInt is an allocation per operation. Checked against another implementation and against published Maglev tables.
 */

const C1_HI = 0x87c37b91
const C1_LO = 0x114253d5
const C2_HI = 0x4cf5ad43
const C2_LO = 0x2745937f

// Result of the last 64-bit operation. One thread, no awaits in between: nobody else can see them half-way.
let hi = 0
let lo = 0

/** (hi, lo) = a · b mod 2⁶⁴. */
function multiply(aHi: number, aLo: number, bHi: number, bLo: number): void {
  const a0 = aLo & 0xffff
  const a1 = aLo >>> 16
  const b0 = bLo & 0xffff
  const b1 = bLo >>> 16
  const low = Math.imul(a0, b0)
  const mid = a1 * b0 + (low >>> 16)
  const mid2 = a0 * b1 + (mid & 0xffff)
  const high = a1 * b1 + Math.floor(mid / 65536) + Math.floor(mid2 / 65536)
  lo = (mid2 << 16) | (low & 0xffff)
  hi = (high + Math.imul(aHi, bLo) + Math.imul(aLo, bHi)) | 0
}

/** (hi, lo) = a + b mod 2⁶⁴. */
function add(aHi: number, aLo: number, bHi: number, bLo: number): void {
  const sum = (aLo >>> 0) + (bLo >>> 0)
  lo = sum | 0
  hi = (aHi + bHi + (sum > 0xffffffff ? 1 : 0)) | 0
}

/** (hi, lo) rotated left by 0 < bits < 32. */
function rotate(bits: number): void {
  const top = hi
  hi = (hi << bits) | (lo >>> (32 - bits))
  lo = (lo << bits) | (top >>> (32 - bits))
}

/** 64-bit finaliser: every input bit reaches every output bit. */
function finish(aHi: number, aLo: number): void {
  multiply(aHi, aLo ^ (aHi >>> 1), 0xff51afd7, 0xed558ccd)
  multiply(hi, lo ^ (hi >>> 1), 0xc4ceb9fe, 0x1a85ec53)
  lo ^= hi >>> 1
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

/** Little-endian word of the tail; bytes at and past `end` count as zero. */
function tailWord(bytes: Uint8Array, at: number, end: number): number {
  let value = 0
  for (let i = 3; i >= 0; i--) value = (value << 8) | (at + i < end ? bytes[at + i]! : 0)
  return value
}

/** k1 · c1, rotated by 31, · c2 */
function mix1(kHi: number, kLo: number): void {
  multiply(kHi, kLo, C1_HI, C1_LO)
  rotate(31)
  multiply(hi, lo, C2_HI, C2_LO)
}

/** k2 · c2, rotated by 33 (limbs swapped, then 1), · c1 */
function mix2(kHi: number, kLo: number): void {
  multiply(kHi, kLo, C2_HI, C2_LO)
  const swap = hi
  hi = lo
  lo = swap
  rotate(1)
  multiply(hi, lo, C1_HI, C1_LO)
}

/**
 * Hash of the first `length` bytes, `seed` (u32) in both halves of the state. Writes h1 high, h1 low, h2 high, h2 low
 * to `out` as u32.
 */
export function murmur3x64(bytes: Uint8Array, length: number, seed: number, out: Uint32Array): void {
  let h1Hi = 0
  let h1Lo = seed | 0
  let h2Hi = 0
  let h2Lo = seed | 0
  const blocks = length & ~15
  for (let at = 0; at < blocks; at += 16) {
    mix1(word(bytes, at + 4), word(bytes, at))
    hi ^= h1Hi
    lo ^= h1Lo
    rotate(27)
    add(hi, lo, h2Hi, h2Lo)
    multiply(hi, lo, 0, 5)
    add(hi, lo, 0, 0x52dce729)
    h1Hi = hi
    h1Lo = lo

    mix2(word(bytes, at + 12), word(bytes, at + 8))
    hi ^= h2Hi
    lo ^= h2Lo
    rotate(31)
    add(hi, lo, h1Hi, h1Lo)
    multiply(hi, lo, 0, 5)
    add(hi, lo, 0, 0x38495ab5)
    h2Hi = hi
    h2Lo = lo
  }
  if (length - blocks > 8) {
    mix2(tailWord(bytes, blocks + 12, length), tailWord(bytes, blocks + 8, length))
    h2Hi ^= hi
    h2Lo ^= lo
  }
  if (length > blocks) {
    mix1(tailWord(bytes, blocks + 4, length), tailWord(bytes, blocks, length))
    h1Hi ^= hi
    h1Lo ^= lo
  }
  h1Lo ^= length
  h2Lo ^= length
  add(h1Hi, h1Lo, h2Hi, h2Lo)
  h1Hi = hi
  h1Lo = lo
  add(h2Hi, h2Lo, h1Hi, h1Lo)
  h2Hi = hi
  h2Lo = lo
  finish(h1Hi, h1Lo)
  h1Hi = hi
  h1Lo = lo
  finish(h2Hi, h2Lo)
  h2Hi = hi
  h2Lo = lo
  add(h1Hi, h1Lo, h2Hi, h2Lo)
  out[0] = hi
  out[1] = lo
  add(h2Hi, h2Lo, hi, lo)
  out[2] = hi
  out[3] = lo
}
