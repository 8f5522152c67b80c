import { Generation } from '../../lib/generation.ts'
import { FLAG, PrefixMap, VALUE } from '../../lib/prefix-map.ts'
import { formatAddress, parseAddress } from '../../types/address.ts'
import type { Address } from '../../types/address.ts'
import { scanAddress } from '../../types/wire/ip-scan.ts'

/** Known under a revision of a store that is gone: any revision the new one has counts as a change. */
const STALE = 0

/** Which keys below a prefix are known, and the revision of each. Tails are the keys without the prefix. */
export interface Revisions {
  readonly size: number
  /** Notes a key, and that the list under way has it. False when it was known under this very revision. */
  note(bytes: Buffer, at: number, end: number, revision: number): boolean
  /** Notes a key under no revision, unless it is known. Not while a list is under way. */
  assume(tail: string): void
  /** False when the key was not known. */
  forget(tail: string): boolean
  /** Every revision is void: the next one of each key is a change. */
  stale(): void
  beginList(): void
  /** What was known before the list and is not in it, about so many at a time; they may be forgotten between two portions. */
  missing(portion: number): Iterable<readonly string[]>
}

/** For keys of any kind: strings in a Map, about 150 bytes each. */
export class TextRevisions implements Revisions {
  readonly #known = new Map<string, number>()
  #seen: Set<string> | undefined

  get size(): number {
    return this.#known.size
  }

  note(bytes: Buffer, at: number, end: number, revision: number): boolean {
    const tail = bytes.toString('utf8', at, end)
    this.#seen?.add(tail)
    if (this.#known.get(tail) === revision) return false
    this.#known.set(tail, revision)
    return true
  }

  assume(tail: string): void {
    if (!this.#known.has(tail)) this.#known.set(tail, STALE)
  }

  forget(tail: string): boolean {
    return this.#known.delete(tail)
  }

  stale(): void {
    for (const tail of this.#known.keys()) this.#known.set(tail, STALE)
  }

  beginList(): void {
    this.#seen = this.#known.size === 0 ? undefined : new Set()
  }

  *missing(portion: number): IterableIterator<readonly string[]> {
    const seen = this.#seen
    this.#seen = undefined
    if (seen === undefined) return
    let tails: string[] = []
    for (const tail of this.#known.keys()) {
      if (!seen.has(tail)) tails.push(tail)
      if (tails.length < portion) continue
      yield tails
      tails = []
    }
    yield tails
  }
}

const LOW = VALUE
const HIGH = VALUE + 1

/** For keys that are IPv4 addresses, about 25 bytes each; others are kept as text. */
export class AddressRevisions implements Revisions {
  readonly #map = new PrefixMap(2)
  /** Rows of the list under way, or the last one. */
  readonly #listed = new Generation(this.#map, FLAG)
  /** Rows with a revision of the store we read. */
  readonly #valid = new Generation(this.#map, FLAG << 4)
  readonly #others = new TextRevisions()

  get size(): number {
    return this.#map.size + this.#others.size
  }

  note(bytes: Buffer, at: number, end: number, revision: number): boolean {
    const map = this.#map
    const address = scanAddress(bytes, at, end)
    if (address < 0) return this.#others.note(bytes, at, end, revision)
    const [low, high] = [revision >>> 0, Math.floor(revision / 0x100000000)]
    if (!map.find(address, 32)) map.insert(address, 32)
    const { words, at: row } = map
    this.#listed.join()
    if (words[row + LOW] === low && words[row + HIGH] === high && this.#valid.has()) return false
    this.#valid.join()
    words[row + LOW] = low
    words[row + HIGH] = high
    return true
  }

  assume(tail: string): void {
    const address = parseAddress(tail)
    if (address === undefined) this.#others.assume(tail)
    else if (!this.#map.find(address, 32)) this.#map.insert(address, 32)
  }

  forget(tail: string): boolean {
    const address = parseAddress(tail)
    if (address === undefined) return this.#others.forget(tail)
    if (!this.#map.find(address, 32)) return false
    this.#map.remove()
    return true
  }

  stale(): void {
    this.#valid.next()
    this.#others.stale()
  }

  beginList(): void {
    this.#listed.next()
    this.#others.beginList()
  }

  *missing(portion: number): IterableIterator<readonly string[]> {
    yield* this.#others.missing(portion)
    let tails: string[] = []
    const collect = (): void => {
      if (!this.#listed.has()) tails.push(formatAddress(this.#map.address() as Address))
    }
    for (const _ of this.#map.portions(collect)) {
      for (; tails.length > portion; tails = tails.slice(portion)) yield tails.slice(0, portion)
      yield tails
      tails = []
    }
  }
}
