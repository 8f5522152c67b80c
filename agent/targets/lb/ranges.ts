import type { Cidr } from '../../types/address.ts'
import type { HashView } from './views.ts'
import { BpfError, Errno } from '../../../native/index.ts'
import { WeftError } from '../../lib/errors.ts'
import { sourceRangeKey, sourceRangeValue } from '../../maps/source-range.ts'
import { compareCidrs, formatCidr } from '../../types/address.ts'

const KEY_BYTES = sourceRangeKey.size
const NONE: ReadonlyMap<string, Cidr> = new Map()

/**
 * Who may use the services that check their clients. A service's ranges are all there before its element says that they are
 * checked (`cover`), and those that are too many go after it (`trim`): nobody who may come in is ever refused on the way from
 * one list to the next.
 */
export class RangeStore {
  readonly #map: HashView
  readonly #byService = new Map<number, Map<string, Cidr>>()

  constructor(map: HashView) {
    this.#map = map
  }

  /** Reads what is in the map. */
  load(): void {
    const { keys, count } = this.#map.dump()
    this.#byService.clear()
    for (let i = 0; i < count; i++) {
      const { serviceId, range } = sourceRangeKey.decode(keys, i * KEY_BYTES)
      this.#of(serviceId).set(formatCidr(range), range)
    }
  }

  /** The ranges of a service, in order; undefined for none. */
  read(serviceId: number): readonly Cidr[] | undefined {
    const ranges = this.#byService.get(serviceId)
    return ranges === undefined ? undefined : [...ranges.values()].sort(compareCidrs)
  }

  services(): number[] {
    return [...this.#byService.keys()]
  }

  /** The map has these ranges for the service, and no others. */
  intact(serviceId: number, wanted: readonly Cidr[] = []): boolean {
    const there = this.#byService.get(serviceId) ?? NONE
    return there.size === wanted.length && wanted.every((range) => there.has(formatCidr(range)))
  }

  /** Adds what is missing. Throws WeftError `map-full`, having added nothing that counts. */
  cover(serviceId: number, wanted: readonly Cidr[] = []): void {
    const there = this.#byService.get(serviceId) ?? NONE
    const missing = wanted.filter((range) => !there.has(formatCidr(range)))
    if (missing.length === 0) return
    const { keys, values } = this.#encode(serviceId, missing)
    try {
      this.#map.updateBatch(keys, values, missing.length)
    } catch (error) {
      this.#map.deleteBatch(keys, missing.length)
      throw error instanceof BpfError && FULL.has(error.errno) ? mapFull(this.#map, error) : error
    }
    for (const range of missing) this.#of(serviceId).set(formatCidr(range), range)
  }

  /** Removes what is too many. True when there was any. */
  trim(serviceId: number, wanted: readonly Cidr[] = []): boolean {
    const there = this.#byService.get(serviceId)
    if (there === undefined) return false
    const keep = new Set(wanted.map(formatCidr))
    const surplus = [...there].filter(([name]) => !keep.has(name))
    if (surplus.length === 0) return false
    const ranges = surplus.map(([, range]) => range)
    this.#map.deleteBatch(this.#encode(serviceId, ranges).keys, ranges.length)
    for (const [name] of surplus) there.delete(name)
    if (there.size === 0) this.#byService.delete(serviceId)
    return true
  }

  #of(serviceId: number): Map<string, Cidr> {
    let ranges = this.#byService.get(serviceId)
    if (ranges === undefined) this.#byService.set(serviceId, (ranges = new Map<string, Cidr>()))
    return ranges
  }

  #encode(serviceId: number, ranges: readonly Cidr[]): { keys: Buffer; values: Buffer } {
    const keys = Buffer.alloc(ranges.length * KEY_BYTES)
    ranges.forEach((range, i) => sourceRangeKey.encode({ serviceId, range }, keys, i * KEY_BYTES))
    return { keys, values: Buffer.alloc(ranges.length * sourceRangeValue.size) }
  }
}

/** What a trie without room says. */
const FULL: ReadonlySet<number | undefined> = new Set([Errno.ENOSPC, Errno.E2BIG])

function mapFull(map: HashView, cause: BpfError): WeftError {
  return new WeftError('map-full', `the map of source ranges is full: ${map.maxEntries} entries`, {
    hint: 'use fewer or wider ranges in loadBalancerSourceRanges; each address and port of a service holds its own',
    cause,
  })
}
