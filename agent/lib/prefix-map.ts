const SEGMENTS = 256
const FIRST_CAPACITY = 8
/** Of four fifths full, a segment grows by three tenths: rows take 1.25 to 1.6 times their words. */
const MAX_LOAD = 0.8
const GROWTH = 1.3

/** Set in the tag of every row, so that no tag of a row is 0. */
const USED = 0x80
/** The part of a tag that tells rows apart; the byte in between belongs to the owner. */
const KEY_BITS = 0xffff00ff

/** Word of a row: the address, then the tag; the owner's words follow. */
const ADDRESS = 0
const TAG = 1
/** First word of the owner. */
export const VALUE = 2

/** First of the eight bits of a tag that are the owner's. */
export const FLAG = 1 << 8

/**
 * A hash table from IPv4 prefix (and a number that tells apart rows of one prefix) to a few 32-bit words, all in typed arrays:
 * a million rows are a few hundred objects to the garbage collector.
 *
 * It is used by its cursor: `find` and `insert` put it on a row, whose words are `words[at + VALUE]` and on. The cursor is
 * void after the next call that changes the table. Rows are spread over segments that grow by themselves, so that no
 * insertion moves more than a 256th of them.
 */
export class PrefixMap {
  readonly stride: number
  /** The cursor. */
  words: Uint32Array
  at = 0
  readonly #segments: Uint32Array[] = []
  readonly #counts = new Uint32Array(SEGMENTS)
  #segment = 0
  #size = 0

  /** `values`: how many words each row has for its owner. */
  constructor(values: number) {
    this.stride = VALUE + values
    this.words = new Uint32Array(0)
    for (let i = 0; i < SEGMENTS; i++) this.#segments.push(this.words)
  }

  get size(): number {
    return this.#size
  }

  address(): number {
    return this.words[this.at + ADDRESS]!
  }

  bits(): number {
    return this.words[this.at + TAG]! & 0x3f
  }

  /** The number given with the prefix. */
  owner(): number {
    return this.words[this.at + TAG]! >>> 16
  }

  has(flag: number): boolean {
    return (this.words[this.at + TAG]! & flag) !== 0
  }

  flag(flag: number, on: boolean): void {
    const tag = this.words[this.at + TAG]!
    this.words[this.at + TAG] = on ? tag | flag : tag & ~flag
  }

  /** Several flags as one number; `first` counts from FLAG. */
  flags(first: number, count: number): number {
    return (this.words[this.at + TAG]! >>> (8 + first)) & ((1 << count) - 1)
  }

  setFlags(first: number, count: number, value: number): void {
    const mask = ((1 << count) - 1) << (8 + first)
    this.words[this.at + TAG] = (this.words[this.at + TAG]! & ~mask) | (value << (8 + first))
  }

  /** False leaves the cursor nowhere. `owner` is below 65 536. */
  find(address: number, bits: number, owner = 0): boolean {
    const tag = (bits | USED | (owner << 16)) >>> 0
    for (let more = this.first(address, bits); more; more = this.next(address, bits)) {
      if ((this.words[this.at + TAG]! & KEY_BITS) >>> 0 === tag) return true
    }
    return false
  }

  /** Puts the cursor on the first row of a prefix, whatever its owner. */
  first(address: number, bits: number): boolean {
    const hash = hashOf(address, bits)
    this.#segment = hash >>> 24
    this.words = this.#segments[this.#segment]!
    if (this.words.length === 0) return false
    this.at = this.#home(hash, this.words)
    return this.#match(address, bits)
  }

  /** From a row of a prefix to its next one. */
  next(address: number, bits: number): boolean {
    this.#step()
    return this.#match(address, bits)
  }

  /** Puts the cursor on a new row with zeroes for values. The row must not exist. */
  insert(address: number, bits: number, owner = 0): void {
    const hash = hashOf(address, bits)
    const segment = (this.#segment = hash >>> 24)
    if ((this.#counts[segment]! + 1) * this.stride > this.#segments[segment]!.length * MAX_LOAD) this.#grow(segment)
    const words = (this.words = this.#segments[segment]!)
    this.at = this.#home(hash, words)
    while (words[this.at + TAG] !== 0) this.#step()
    words[this.at + ADDRESS] = address
    words[this.at + TAG] = bits | USED | (owner << 16)
    this.#counts[segment]!++
    this.#size++
  }

  /** Removes the row at the cursor, and moves up those behind it that would no longer be found. */
  remove(): void {
    const { words, stride } = this
    let hole = this.at
    this.#counts[this.#segment]!--
    this.#size--
    for (;;) {
      this.#step()
      if (words[this.at + TAG] === 0) break
      const home = this.#home(hashOf(this.address(), this.bits()), words)
      // A row between its home and the hole in the order of probing stays reachable.
      const stays = hole <= this.at ? hole < home && home <= this.at : hole < home || home <= this.at
      if (stays) continue
      words.copyWithin(hole, this.at, this.at + stride)
      hole = this.at
    }
    words.fill(0, hole, hole + stride)
  }

  /** Calls `visit` with the cursor on each row, in no order; it may change values and flags and nothing else. */
  each(visit: () => void): void {
    for (let i = 0; i < SEGMENTS; i++) this.#eachOf(i, visit)
  }

  /** The same in portions: between two of them, rows may come and go. One that was there all the time may be visited again. */
  *portions(visit: () => void): IterableIterator<void> {
    for (let i = 0; i < SEGMENTS; i++) {
      this.#eachOf(i, visit)
      yield
    }
  }

  #eachOf(segment: number, visit: () => void): void {
    const words = this.#segments[segment]!
    for (let at = 0; at < words.length; at += this.stride) {
      if (words[at + TAG] === 0) continue
      this.#segment = segment
      this.words = words
      this.at = at
      visit()
    }
  }

  #match(address: number, bits: number): boolean {
    const { words } = this
    for (;;) {
      const tag = words[this.at + TAG]!
      if (tag === 0) return false
      if (words[this.at + ADDRESS] === address && (tag & 0x3f) === bits) return true
      this.#step()
    }
  }

  #step(): void {
    this.at += this.stride
    if (this.at === this.words.length) this.at = 0
  }

  #home(hash: number, words: Uint32Array): number {
    return Math.floor(((hash & 0xffff) * (words.length / this.stride)) / 0x10000) * this.stride
  }

  #grow(segment: number): void {
    const { stride } = this
    const old = this.#segments[segment]!
    const capacity = Math.max(FIRST_CAPACITY, Math.ceil((old.length / stride) * GROWTH))
    const words = new Uint32Array(capacity * stride)
    for (let from = 0; from < old.length; from += stride) {
      const tag = old[from + TAG]!
      if (tag === 0) continue
      let to = this.#home(hashOf(old[from + ADDRESS]!, tag & 0x3f), words)
      while (words[to + TAG] !== 0) to = to + stride === words.length ? 0 : to + stride
      for (let i = 0; i < stride; i++) words[to + i] = old[from + i]!
    }
    this.#segments[segment] = words
  }
}

/** The finalizer of murmur3. */
function hashOf(address: number, bits: number): number {
  let hash = address ^ (bits << 26)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
