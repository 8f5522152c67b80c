const CHUNK = 1 << 20
/** Names lie at multiples of this, so that a 32-bit reference reaches 32 GiB. */
const UNIT = 8
const UNITS_PER_CHUNK = CHUNK / UNIT
/** One byte each says how long the two names are. */
const HEADER = 2
export const MAX_NAME = 255

/**
 * Pairs of short names (namespace and pod) as bytes in big blocks. A block that was freed is used again for one of its own
 * size: nothing is ever moved, and what is wasted is bounded by what there once was of each size.
 */
export class NameArena {
  readonly #chunks: Uint8Array[] = []
  /** References of freed blocks, by their units. */
  readonly #free: number[][] = []
  #next = 0
  #left = 0

  /** Both names are parts of `bytes`, of at most MAX_NAME bytes. Returns a reference; 0 when both are empty. */
  put(bytes: Uint8Array, first: number, firstEnd: number, second: number, secondEnd: number): number {
    const a = firstEnd - first
    const b = secondEnd - second
    if (a === 0 && b === 0) return 0
    const ref = this.#allocate((HEADER + a + b + UNIT - 1) >>> 3)
    this.#write(ref, bytes, first, firstEnd, second, secondEnd)
    return ref
  }

  /** As `free`, then `put`; in place when the size is the same. */
  replace(ref: number, bytes: Uint8Array, first: number, firstEnd: number, second: number, secondEnd: number): number {
    const length = firstEnd - first + secondEnd - second
    if (ref !== 0 && length > 0 && this.#units(ref) === (HEADER + length + UNIT - 1) >>> 3) {
      this.#write(ref, bytes, first, firstEnd, second, secondEnd)
      return ref
    }
    this.free(ref)
    return this.put(bytes, first, firstEnd, second, secondEnd)
  }

  free(ref: number): void {
    if (ref === 0) return
    const units = this.#units(ref)
    ;(this.#free[units] ??= []).push(ref)
  }

  read(ref: number): readonly [first: string | undefined, second: string | undefined] {
    if (ref === 0) return [undefined, undefined]
    const chunk = this.#chunks[Math.floor((ref - 1) / UNITS_PER_CHUNK)]!
    const at = ((ref - 1) % UNITS_PER_CHUNK) * UNIT
    const middle = at + HEADER + chunk[at]!
    const text = (from: number, to: number): string | undefined =>
      from === to ? undefined : Buffer.from(chunk.buffer, from, to - from).toString('utf8')
    return [text(at + HEADER, middle), text(middle, middle + chunk[at + 1]!)]
  }

  #write(ref: number, bytes: Uint8Array, first: number, firstEnd: number, second: number, secondEnd: number): void {
    const chunk = this.#chunks[Math.floor((ref - 1) / UNITS_PER_CHUNK)]!
    let at = ((ref - 1) % UNITS_PER_CHUNK) * UNIT
    chunk[at++] = firstEnd - first
    chunk[at++] = secondEnd - second
    for (let i = first; i < firstEnd; i++) chunk[at++] = bytes[i]!
    for (let i = second; i < secondEnd; i++) chunk[at++] = bytes[i]!
  }

  #units(ref: number): number {
    const chunk = this.#chunks[Math.floor((ref - 1) / UNITS_PER_CHUNK)]!
    const at = ((ref - 1) % UNITS_PER_CHUNK) * UNIT
    return (HEADER + chunk[at]! + chunk[at + 1]! + UNIT - 1) >>> 3
  }

  #allocate(units: number): number {
    const freed = this.#free[units]?.pop()
    if (freed !== undefined) return freed
    if (this.#left < units) {
      this.#next = this.#chunks.length * UNITS_PER_CHUNK
      this.#chunks.push(new Uint8Array(CHUNK))
      this.#left = UNITS_PER_CHUNK
    }
    const ref = this.#next + 1
    this.#next += units
    this.#left -= units
    return ref
  }
}
