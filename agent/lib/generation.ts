import { FLAG, type PrefixMap } from './prefix-map.ts'

/** Bits of a row's flags that a generation takes. */
const BITS = 4
const NUMBERS = 1 << BITS

/**
 * A set of rows of a PrefixMap that is emptied without touching them: a row belongs to it while it carries the set's number,
 * and the set takes the next number. `has` and `join` are about the row at the map's cursor; new rows have number 0, which
 * is never the set's.
 */
export class Generation {
  readonly #map: PrefixMap
  readonly #shift: number
  #number = 1

  /** `flag`: the first of four flags that are the set's own. */
  constructor(map: PrefixMap, flag: number) {
    this.#map = map
    this.#shift = Math.log2(flag / FLAG)
  }

  has(): boolean {
    return this.#map.flags(this.#shift, BITS) === this.#number
  }

  join(): void {
    this.#map.setFlags(this.#shift, BITS, this.#number)
  }

  /** No row belongs to it any more. */
  next(): void {
    if (++this.#number < NUMBERS) return
    this.#map.each(() => this.#map.setFlags(this.#shift, BITS, 0))
    this.#number = 1
  }
}
