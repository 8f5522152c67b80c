/**
 * The kernel's jhash (Bob Jenkins' lookup3, include/linux/jhash.h) for the word counts the datapath uses. All words, seeds
 * and results are u32.
 */

const GOLDEN = 0xdeadbeef

function rol(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

function final(a: number, b: number, c: number): number {
  c = ((c ^ b) - rol(b, 14)) | 0
  a = ((a ^ c) - rol(c, 11)) | 0
  b = ((b ^ a) - rol(a, 25)) | 0
  c = ((c ^ b) - rol(b, 16)) | 0
  a = ((a ^ c) - rol(c, 4)) | 0
  b = ((b ^ a) - rol(a, 14)) | 0
  c = ((c ^ b) - rol(b, 24)) | 0
  return c >>> 0
}

/** `jhash_3words`. */
export function jhash3(a: number, b: number, c: number, seed: number): number {
  const start = (GOLDEN + 12 + seed) | 0
  return final((a + start) | 0, (b + start) | 0, (c + start) | 0)
}

/**
 * The six-word form of IPv6 packets: the first three words are the state, mixed; the other three are added, mixed again, then
 * the seed. No initial constant, unlike `jhash2`.
 */
export function jhash6(words: readonly [number, number, number, number, number, number], seed: number): number {
  let [a, b, c] = mix(words[0], words[1], words[2])
  ;[a, b, c] = mix((a + words[3]) | 0, (b + words[4]) | 0, (c + words[5]) | 0)
  return final((a + seed) | 0, b, c)
}

function mix(a: number, b: number, c: number): [number, number, number] {
  a = ((a - c) ^ rol(c, 4)) | 0
  c = (c + b) | 0
  b = ((b - a) ^ rol(a, 6)) | 0
  a = (a + c) | 0
  c = ((c - b) ^ rol(b, 8)) | 0
  b = (b + a) | 0
  a = ((a - c) ^ rol(c, 16)) | 0
  c = (c + b) | 0
  b = ((b - a) ^ rol(a, 19)) | 0
  a = (a + c) | 0
  c = ((c - b) ^ rol(b, 4)) | 0
  b = (b + a) | 0
  return [a, b, c]
}
