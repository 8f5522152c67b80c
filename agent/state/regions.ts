import type { Clock } from '../lib/clock.ts'
import { WeftError } from '../lib/errors.ts'
import { GRACE_MS } from './ids.ts'

/** How many free blocks of the request's own size class are looked at before a larger class is cut. */
const PROBES = 16

/**
 * Runs of elements in one kernel array of `size` elements.
 *
 * Everything from the tail on was never used, or has merged with it; free blocks before it sit in bins by the logarithm of
 * their length and merge with their neighbours. A freed run comes back only after the grace: a program that read the old
 * service element may still walk it.
 */
export class Regions {
  readonly size: number
  readonly #what: string
  readonly #clock: Clock
  readonly #graceMs: number
  readonly #used = new Map<number, number>()
  /** Free blocks by first element, and by the element behind the last. */
  readonly #byStart = new Map<number, number>()
  readonly #byEnd = new Map<number, number>()
  readonly #bins: Set<number>[] = Array.from({ length: 32 }, () => new Set<number>())
  /** Bit `n` is set while bin `n` has blocks. */
  #filled = 0
  #tail = 0
  #waiting: { offset: number; length: number; at: number }[] = []
  #head = 0
  #inUse = 0

  constructor(options: { size: number; what: string; clock: Clock; graceMs?: number }) {
    this.size = options.size
    this.#what = options.what
    this.#clock = options.clock
    this.#graceMs = options.graceMs ?? GRACE_MS
  }

  /** Elements in allocated or reserved regions. */
  get used(): number {
    return this.#inUse
  }

  /** Takes this very run at start. False when part of it is taken, waiting, or out of range: what claims it is damaged. */
  reserve(offset: number, length: number): boolean {
    if (length < 1 || offset < 0 || offset + length > this.size) return false
    if (offset >= this.#tail) {
      if (offset > this.#tail) this.#insert(this.#tail, offset - this.#tail)
      this.#tail = offset + length
      this.#take(offset, length)
      return true
    }
    for (const [start, free] of this.#byStart) {
      if (start > offset || start + free < offset + length) continue
      this.#remove(start, free)
      if (offset > start) this.#insert(start, offset - start)
      if (start + free > offset + length) this.#insert(offset + length, start + free - offset - length)
      this.#take(offset, length)
      return true
    }
    return false
  }

  /** Offset of a run of `length` ≥ 1 elements. Throws WeftError `map-full` when no free run is long enough. */
  allocate(length: number): number {
    if (this.#waiting.length > this.#head) this.#collect()
    let start = this.#filled === 0 ? undefined : this.#find(length)
    if (start !== undefined) {
      const free = this.#byStart.get(start)!
      this.#remove(start, free)
      if (free > length) this.#insert(start + length, free - length)
    } else {
      if (this.size - this.#tail < length) throw this.#full(length)
      start = this.#tail
      this.#tail += length
    }
    this.#take(start, length)
    return start
  }

  /** Give back the region that starts at `offset`; it is reused after the grace. */
  free(offset: number): void {
    const length = this.#used.get(offset)
    if (length === undefined) return
    this.#used.delete(offset)
    this.#inUse -= length
    this.#waiting.push({ offset, length, at: this.#clock.now() })
  }

  #take(offset: number, length: number): void {
    this.#used.set(offset, length)
    this.#inUse += length
  }

  /** First fit among a few blocks of the own class, then any block of a larger class, then, before the tail is cut, the rest. */
  #find(length: number): number | undefined {
    const own = binOf(length)
    let probes = 0
    for (const start of this.#bins[own]!) {
      if (this.#byStart.get(start)! >= length) return start
      if (++probes === PROBES) break
    }
    const larger = this.#filled & ~((2 << own) - 1)
    if (larger !== 0) for (const start of this.#bins[31 - Math.clz32(larger & -larger)]!) return start
    if (this.size - this.#tail >= length) return undefined
    for (const start of this.#bins[own]!) if (this.#byStart.get(start)! >= length) return start
    return undefined
  }

  #full(length: number): WeftError {
    const waiting = this.#waiting.slice(this.#head).reduce((sum, block) => sum + block.length, 0)
    const what = `no room for ${length} ${this.#what}: ${this.#inUse} of ${this.size} in use, ${waiting} released a moment ago`
    return new WeftError('map-full', what, {
      hint: `raise the size of the map that holds the ${this.#what}, or remove services`,
    })
  }

  /** Freed runs whose grace is over become free blocks. */
  #collect(): void {
    const limit = this.#clock.now() - this.#graceMs
    for (
      let block = this.#waiting[this.#head];
      block !== undefined && block.at <= limit;
      block = this.#waiting[this.#head]
    ) {
      this.#head++
      this.#merge(block.offset, block.length)
    }
    if (this.#head > 1024 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head)
      this.#head = 0
    }
  }

  #merge(offset: number, length: number): void {
    const before = this.#byEnd.get(offset)
    if (before !== undefined) {
      const size = offset - before
      this.#remove(before, size)
      offset = before
      length += size
    }
    if (offset + length === this.#tail) {
      this.#tail = offset
      return
    }
    const after = this.#byStart.get(offset + length)
    if (after !== undefined) {
      this.#remove(offset + length, after)
      length += after
    }
    this.#insert(offset, length)
  }

  #insert(start: number, length: number): void {
    this.#byStart.set(start, length)
    this.#byEnd.set(start + length, start)
    const bin = binOf(length)
    this.#bins[bin]!.add(start)
    this.#filled |= 1 << bin
  }

  #remove(start: number, length: number): void {
    this.#byStart.delete(start)
    this.#byEnd.delete(start + length)
    const bin = binOf(length)
    this.#bins[bin]!.delete(start)
    if (this.#bins[bin]!.size === 0) this.#filled &= ~(1 << bin)
  }
}

function binOf(length: number): number {
  return 31 - Math.clz32(length)
}
