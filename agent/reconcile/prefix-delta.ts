import type { Cidr } from '../types/address.ts'
import type { Conflict, DeltaScan, DeltaView } from './delta.ts'
import { formatCidr, parseCidr } from '../types/address.ts'
import { Generation } from '../lib/generation.ts'
import { FLAG, PrefixMap, VALUE } from '../lib/prefix-map.ts'

/** How a value becomes the words of a row, and a value again. Values of the same words are equal. */
export interface RowFormat<V> {
  readonly words: number
  prefixOf(value: V): Cidr
  pack(value: V, words: Uint32Array, at: number): void
  unpack(prefix: Cidr, words: Uint32Array, at: number): V
}

const WANTED = FLAG
const THERE = FLAG << 1
/** Came from a load; not (first) set by us. */
const FOUND = FLAG << 2
/** What is there is not what is wanted: it is in `#other`, the row has what is wanted. */
const DIFFERS = FLAG << 3

const NOTHING: readonly string[] = []

/**
 * What Delta does, for a million prefixes of which each is its own owner: some 30 bytes for one that is as it should be.
 * Only those that are not cost objects. Invariants as of Delta; nothing is ever contested.
 */
export class PrefixDelta<V extends object> implements DeltaView<V> {
  readonly #map: PrefixMap
  readonly #format: RowFormat<V>
  /** Rows of the scan under way, or the last one, and what was set since. */
  readonly #scanned: Generation
  #scans = 0
  /** What is there, of rows that differ. */
  readonly #other = new Map<string, V>()
  readonly #todo = new Set<string>()
  readonly #scratch: Uint32Array
  #mayPrune = false
  #wanted = 0
  #there = 0

  constructor(format: RowFormat<V>) {
    this.#format = format
    this.#map = new PrefixMap(format.words)
    this.#scanned = new Generation(this.#map, FLAG << 4)
    this.#scratch = new Uint32Array(2 * format.words)
  }

  get desired(): number {
    return this.#wanted
  }

  get actual(): number {
    return this.#there
  }

  get todo(): ReadonlySet<string> {
    return this.#todo
  }

  wanted(key: string): V | undefined {
    return this.#find(key) && this.#map.has(WANTED) ? this.#value() : undefined
  }

  there(key: string): V | undefined {
    return this.#find(key) ? this.#valueThere(key) : undefined
  }

  *wantedEntries(): IterableIterator<readonly [string, V]> {
    let entries: (readonly [string, V])[] = []
    const collect = (): void => {
      if (this.#map.has(WANTED)) entries.push([this.#key(), this.#value()])
    }
    for (const _ of this.#map.portions(collect)) {
      yield* entries
      entries = []
    }
  }

  *conflicts(): IterableIterator<Conflict<V>> {}

  /** `owner` is the one key that `entries` may have. */
  replace(owner: string, entries: ReadonlyMap<string, V>): readonly string[] {
    const value = entries.get(owner)
    if (value === undefined) return this.#withdraw(owner)
    const map = this.#map
    this.#findOrInsert(owner)
    const had = map.has(WANTED)
    if (had && this.#equals(this.#value(), value)) return NOTHING
    const there = this.#valueThere(owner)
    this.#format.pack(value, map.words, map.at + VALUE)
    map.flag(WANTED, true)
    if (!had) this.#wanted++
    this.#compare(owner, value, there)
    this.#classify(owner)
    return [owner]
  }

  loaded(found: ReadonlyMap<string, V>): number {
    const gone: string[] = []
    this.#map.each(() => {
      if (this.#map.has(THERE) && !found.has(this.#key())) gone.push(this.#key())
    })
    for (const key of gone) this.wasDeleted(key)
    let drift = gone.length
    for (const [key, value] of found) if (this.#found(key, value)) drift++
    return drift
  }

  scan(): DeltaScan<V> {
    this.#scanned.next()
    const number = ++this.#scans
    const isCurrent = (): boolean => number === this.#scans
    return {
      get current() {
        return isCurrent()
      },
      found: (entries) => entries.reduce((drift, entry) => drift + (this.#see(entry) ? 1 : 0), 0),
      missing: () => this.#missing(),
    }
  }

  /** True when something else was believed to be there. */
  #see(entry: V): boolean {
    const map = this.#map
    const prefix = this.#format.prefixOf(entry)
    if (map.find(prefix.address, prefix.bits) && map.has(THERE) && !map.has(DIFFERS) && this.#holds(entry)) {
      this.#scanned.join()
      return false
    }
    const key = formatCidr(prefix)
    const differed = this.#found(key, entry)
    if (!differed && this.#find(key)) this.#scanned.join()
    return differed
  }

  #found(key: string, value: V): boolean {
    const there = this.there(key)
    if (there !== undefined && this.#equals(there, value)) return false
    this.wasSet(key, value)
    if (there !== undefined) return true
    this.#map.flag(FOUND, true)
    this.#classify(key)
    return true
  }

  *#missing(): IterableIterator<readonly string[]> {
    let keys: string[] = []
    const collect = (): void => {
      if (this.#map.has(THERE) && !this.#scanned.has()) keys.push(this.#key())
    }
    for (const _ of this.#map.portions(collect)) {
      if (keys.length === 0) continue
      yield keys
      keys = []
    }
  }

  wasSet(key: string, value: V): void {
    const map = this.#map
    this.#findOrInsert(key)
    if (!map.has(THERE)) {
      this.#there++
      map.flag(FOUND, false)
      map.flag(THERE, true)
    }
    this.#scanned.join()
    if (map.has(WANTED)) this.#compare(key, this.#value(), value)
    else this.#format.pack(value, map.words, map.at + VALUE)
    this.#classify(key)
  }

  wasDeleted(key: string): void {
    if (!this.#find(key) || !this.#map.has(THERE)) return
    this.#there--
    this.#map.flag(THERE | DIFFERS, false)
    this.#other.delete(key)
    this.#classify(key)
  }

  allowPrune(): void {
    this.#mayPrune = true
    this.#map.each(() => {
      if (!this.#map.has(WANTED)) this.#todo.add(this.#key())
    })
  }

  #withdraw(key: string): readonly string[] {
    const map = this.#map
    if (!this.#find(key) || !map.has(WANTED)) return NOTHING
    const there = this.#valueThere(key)
    map.flag(WANTED | DIFFERS, false)
    this.#other.delete(key)
    if (there !== undefined) this.#format.pack(there, map.words, map.at + VALUE)
    this.#wanted--
    this.#classify(key)
    return [key]
  }

  /** Notes on the row at the cursor whether what is there is what is wanted. */
  #compare(key: string, wanted: V, there: V | undefined): void {
    const differs = there !== undefined && !this.#equals(wanted, there)
    if (differs) this.#other.set(key, there)
    else if (this.#map.has(DIFFERS)) this.#other.delete(key)
    this.#map.flag(DIFFERS, differs)
  }

  #classify(key: string): void {
    const map = this.#map
    const there = map.has(THERE)
    const due = map.has(WANTED) ? !there || map.has(DIFFERS) : there && (this.#mayPrune || !map.has(FOUND))
    if (due) this.#todo.add(key)
    else this.#todo.delete(key)
    if (!there && !map.has(WANTED)) map.remove()
  }

  #equals(a: V, b: V): boolean {
    const { words } = this.#format
    this.#format.pack(a, this.#scratch, 0)
    this.#format.pack(b, this.#scratch, words)
    for (let i = 0; i < words; i++) if (this.#scratch[i] !== this.#scratch[words + i]) return false
    return true
  }

  /** Whether the words of the row at the cursor are those of `value`. */
  #holds(value: V): boolean {
    const { words } = this.#format
    this.#format.pack(value, this.#scratch, 0)
    for (let i = 0; i < words; i++) if (this.#scratch[i] !== this.#map.words[this.#map.at + VALUE + i]) return false
    return true
  }

  #find(key: string): boolean {
    const prefix = parseCidr(key)
    return prefix !== undefined && this.#map.find(prefix.address, prefix.bits)
  }

  #findOrInsert(key: string): void {
    const prefix = parseCidr(key)
    if (prefix === undefined) throw new RangeError(`not a prefix: ${key}`)
    if (!this.#map.find(prefix.address, prefix.bits)) this.#map.insert(prefix.address, prefix.bits)
  }

  #key(): string {
    return formatCidr(this.#prefix())
  }

  #prefix(): Cidr {
    return { address: this.#map.address() as Cidr['address'], bits: this.#map.bits() }
  }

  #value(): V {
    return this.#format.unpack(this.#prefix(), this.#map.words, this.#map.at + VALUE)
  }

  #valueThere(key: string): V | undefined {
    if (!this.#map.has(THERE)) return undefined
    return this.#map.has(DIFFERS) ? this.#other.get(key) : this.#value()
  }
}
