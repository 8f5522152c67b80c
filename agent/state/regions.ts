import type { Clock } from '../lib/clock.ts'
import { WeftError } from '../lib/errors.ts'
import { GRACE_MS } from './ids.ts'

/** How many free blocks of the request's own size class are looked at before a larger class is cut. */
const PROBES = 16

/**
 * Runs of elements in one kernel array of `size` elements.
 *
 * Free blocks sit in bins by the logarithm of their length and merge with their neighbours. A freed run comes back only
 * after the grace: a program that read the old service element may still walk it.
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
  readonly #bins: Set<number>[] = Array.from({ length: 33 }, () => new Set<number>())
  #waiting: { offset: number; length: number; at: number }[] = []
  #head = 0
  #inUse = 0

  constructor(options: { size: number; what: string; clock: Clock; graceMs?: number }) {
    this.size = options.size
    this.#what = options.what
    this.#clock = options.clock
    this.#graceMs = options.graceMs ?? GRACE_MS
    if (options.size > 0) this.#insert(0, options.size)
  }

  /** Elements in allocated or reserved regions. */
  get used(): number {
    return this.#inUse
  }

  /** Takes this very run at start. False when part of it is taken, waiting, or out of range: what claims it is damaged. */
  reserve(offset: number, length: number): boolean {
    if (length < 1 || offset < 0 || offset + length > this.size) return false
    // From the largest block down: reservations come in ascending order, so nearly always the tail holds it.
    for (let bin = this.#bins.length - 1; bin >= 0; bin--) {
      for (const start of this.#bins[bin]!) {
        const free = this.#byStart.get(start)!
        if (start > offset || start + free < offset + length) continue
        this.#remove(start, free)
        if (offset > start) this.#insert(start, offset - start)
        this.#take(offset, length)
        if (start + free > offset + length) this.#insert(offset + length, start + free - offset - length)
        return true
      }
    }
    return false
  }

  /** Offset of a run of `length` ≥ 1 elements. Throws WeftError `map-full` when no free run is long enough. */
  allocate(length: number): number {
    this.#collect()
    const start = this.#find(length)
    if (start === undefined) {
      const waiting = this.#waiting.slice(this.#head).reduce((sum, block) => sum + block.length, 0)
      throw new WeftError(
        'map-full',
        `no room for ${length} ${this.#what}: ${this.#inUse} of ${this.size} in use, ${waiting} released a moment ago`,
        { hint: `raise the size of the map that holds the ${this.#what}, or remove services` },
      )
    }
    const free = this.#byStart.get(start)!
    this.#remove(start, free)
    this.#take(start, length)
    if (free > length) this.#insert(start + length, free - length)
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

  /** First fit among a few blocks of the own class, then any block of a larger class, then the rest of the own class. */
  #find(length: number): number | undefined {
    const own = binOf(length)
    let probes = 0
    for (const start of this.#bins[own]!) {
      if (this.#byStart.get(start)! >= length) return start
      if (++probes === PROBES) break
    }
    for (let bin = own + 1; bin < this.#bins.length; bin++) {
      for (const start of this.#bins[bin]!) return start
    }
    for (const start of this.#bins[own]!) if (this.#byStart.get(start)! >= length) return start
    return undefined
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
    this.#bins[binOf(length)]!.add(start)
  }

  #remove(start: number, length: number): void {
    this.#byStart.delete(start)
    this.#byEnd.delete(start + length)
    this.#bins[binOf(length)]!.delete(start)
  }
}

function binOf(length: number): number {
  return 31 - Math.clz32(length)
}
