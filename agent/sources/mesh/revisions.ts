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
  /** Notes a key under no revision, unless it is known. */
  assume(tail: string): void
  /** False when the key was not known. */
  forget(tail: string): boolean
  /** Every revision is void: the next one of each key is a change. */
  stale(): void
  beginList(): void
  /** What was known before the list and is not in it. */
  missing(): string[]
  tails(): string[]
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

  missing(): string[] {
    const seen = this.#seen
    this.#seen = undefined
    return seen === undefined ? [] : [...this.#known.keys()].filter((tail) => !seen.has(tail))
  }

  tails(): string[] {
    return [...this.#known.keys()]
  }
}

const LOW = VALUE
const HIGH = VALUE + 1
const SEEN = FLAG

/** For keys that are IPv4 addresses, about 25 bytes each; others are kept as text. */
export class AddressRevisions implements Revisions {
  readonly #map = new PrefixMap(2)
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
    map.flag(SEEN, true)
    if (words[row + LOW] === low && words[row + HIGH] === high) return false
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
    this.#map.each(() => (this.#map.words[this.#map.at + LOW] = this.#map.words[this.#map.at + HIGH] = STALE))
    this.#others.stale()
  }

  beginList(): void {
    this.#map.each(() => this.#map.flag(SEEN, false))
    this.#others.beginList()
  }

  missing(): string[] {
    const tails = this.#others.missing()
    this.#map.each(() => {
      if (!this.#map.has(SEEN)) tails.push(formatAddress(this.#map.address() as Address))
    })
    return tails
  }

  tails(): string[] {
    const tails = this.#others.tails()
    this.#map.each(() => tails.push(formatAddress(this.#map.address() as Address)))
    return tails
  }
}
