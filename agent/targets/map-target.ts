import type { Codec } from '../maps/codec.ts'
import type { Failures, Target } from '../reconcile/target.ts'
import { BpfError, Errno } from '../../native/index.ts'
import { WeftError } from '../lib/errors.ts'
import { NO_FAILURES } from '../reconcile/target.ts'

/** What the target needs of a map; BpfMap has it. */
export interface EntryMap {
  readonly name: string
  readonly maxEntries: number
  dump(): { readonly keys: Buffer; readonly values: Buffer; readonly count: number }
  pieces(most: number): Iterable<{ readonly keys: Buffer; readonly values: Buffer; readonly count: number }>
  lookup(key: Uint8Array): Buffer | undefined
  updateBatch(keys: Buffer, values: Buffer, count: number): void
  deleteBatch(keys: Buffer, count: number): number
}

/** How entries of one map look to the reconciler, and in the kernel. */
export interface EntryFormat<K, W, V> {
  readonly name: string
  readonly key: Codec<K>
  readonly value: Codec<W>
  /** The printed key; undefined from `parse` when it is not one. */
  print(key: K): string
  parse(text: string): K | undefined
  /** The key of an entry. */
  keyOf(entry: V): K
  entryOf(key: K, value: W): V
  equals(a: V, b: V): boolean
}

/** Entries that are read at a stretch, in a few milliseconds. */
const PIECE = 1000

/** Entries of one eBPF map, one element each; an element is replaced as a whole. Not for maps that others write too. */
export class MapTarget<K, W, V extends W> implements Target<V> {
  readonly name: string
  readonly #map: EntryMap
  readonly #format: EntryFormat<K, W, V>

  constructor(map: EntryMap, format: EntryFormat<K, W, V>) {
    this.name = format.name
    this.#map = map
    this.#format = format
  }

  async load(): Promise<ReadonlyMap<string, V>> {
    const { key, value } = this.#format
    const { keys, values, count } = this.#map.dump()
    const entries = new Map<string, V>()
    for (let i = 0; i < count; i++) {
      const name = key.decode(keys, i * key.size)
      entries.set(this.#format.print(name), this.#format.entryOf(name, value.decode(values, i * value.size)))
    }
    return entries
  }

  *pieces(): IterableIterator<readonly V[]> {
    const { key, value } = this.#format
    for (const { keys, values, count } of this.#map.pieces(PIECE)) {
      const entries: V[] = []
      for (let i = 0; i < count; i++) {
        const name = key.decode(keys, i * key.size)
        entries.push(this.#format.entryOf(name, value.decode(values, i * value.size)))
      }
      yield entries
    }
  }

  read(text: string): V | undefined {
    const { key, value } = this.#format
    const name = this.#format.parse(text)
    if (name === undefined) return undefined
    const bytes = Buffer.alloc(key.size)
    key.encode(name, bytes, 0)
    const found = this.#map.lookup(bytes)
    return found === undefined ? undefined : this.#format.entryOf(name, value.decode(found, 0))
  }

  async set(batch: readonly (readonly [key: string, value: V])[]): Promise<Failures> {
    const { key, value } = this.#format
    const keys = Buffer.alloc(batch.length * key.size)
    const values = Buffer.alloc(batch.length * value.size)
    batch.forEach(([, entry], i) => {
      key.encode(this.#format.keyOf(entry), keys, i * key.size)
      value.encode(entry, values, i * value.size)
    })
    const failures = new Map<string, Error>()
    // What fails is left out and the batch goes on behind it.
    for (let first = 0; first < batch.length;) {
      try {
        const rest = batch.length - first
        this.#map.updateBatch(keys.subarray(first * key.size), values.subarray(first * value.size), rest)
        first += rest
      } catch (error) {
        if (!(error instanceof BpfError) || error.done === undefined) throw error
        first += error.done
        failures.set(batch[first++]![0], this.#refused(error))
      }
    }
    return failures
  }

  async delete(keys: readonly string[]): Promise<Failures> {
    const { key } = this.#format
    const bytes = Buffer.alloc(keys.length * key.size)
    let count = 0
    for (const text of keys) {
      const name = this.#format.parse(text)
      // What is no key cannot be in the map.
      if (name !== undefined) key.encode(name, bytes, count++ * key.size)
    }
    if (count > 0) this.#map.deleteBatch(bytes, count)
    return NO_FAILURES
  }

  equals(a: V, b: V): boolean {
    return a === b || this.#format.equals(a, b)
  }

  /** Hash maps say E2BIG when they are full, tries ENOSPC. */
  #refused(error: BpfError): Error {
    if (error.errno !== Errno.E2BIG && error.errno !== Errno.ENOSPC) return error
    return new WeftError('map-full', `the map ${this.#map.name} is full: ${this.#map.maxEntries} entries`, {
      hint: `raise the size of ${this.#map.name}`,
      cause: error,
    })
  }
}
