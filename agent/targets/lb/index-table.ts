/**
 * Finds a backend's id by its 64-bit name (address, and the packed rest). Open addressing over typed arrays: a set of
 * 100 000 backends is looked up in milliseconds and allocates nothing.
 */
export class BackendIndex {
  readonly #address: Uint32Array
  readonly #rest: Uint32Array
  readonly #table: Uint32Array
  readonly #mask: number

  /** Ids are 1 … `capacity`. */
  constructor(capacity: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(capacity, 4) * 2))
    this.#address = new Uint32Array(capacity + 1)
    this.#rest = new Uint32Array(capacity + 1)
    this.#table = new Uint32Array(size)
    this.#mask = size - 1
  }

  addressOf(id: number): number {
    return this.#address[id]!
  }

  restOf(id: number): number {
    return this.#rest[id]!
  }

  /** 0 when unknown. */
  find(address: number, rest: number): number {
    for (let i = this.#slot(address, rest); ; i = (i + 1) & this.#mask) {
      const id = this.#table[i]!
      if (id === 0 || (this.#address[id] === address && this.#rest[id] === rest)) return id
    }
  }

  /** The name must not be in the table yet. */
  insert(id: number, address: number, rest: number): void {
    this.#address[id] = address
    this.#rest[id] = rest
    let i = this.#slot(address, rest)
    while (this.#table[i] !== 0) i = (i + 1) & this.#mask
    this.#table[i] = id
  }

  remove(id: number): void {
    let hole = this.#slot(this.#address[id]!, this.#rest[id]!)
    while (this.#table[hole] !== id) {
      if (this.#table[hole] === 0) return
      hole = (hole + 1) & this.#mask
    }
    // Entries behind the hole move up when their own place is not between hole and them: no probe chain breaks.
    for (let i = (hole + 1) & this.#mask; this.#table[i] !== 0; i = (i + 1) & this.#mask) {
      const other = this.#table[i]!
      const home = this.#slot(this.#address[other]!, this.#rest[other]!)
      if (((i - home) & this.#mask) < ((i - hole) & this.#mask)) continue
      this.#table[hole] = other
      hole = i
    }
    this.#table[hole] = 0
    this.#address[id] = 0
    this.#rest[id] = 0
  }

  /** Sixteen neighbouring addresses share a cache line: endpoints of one service mostly are neighbours. */
  #slot(address: number, rest: number): number {
    let h = Math.imul(address >>> 4, 0x9e3779b1) ^ Math.imul(rest, 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
    return (((h ^ (h >>> 13)) << 4) + (address & 15)) & this.#mask
  }
}
