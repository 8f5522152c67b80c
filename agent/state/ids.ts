import type { Clock } from '../lib/clock.ts'
import { WeftError } from '../lib/errors.ts'

/** No program run lasts as long, so nothing in the kernel still holds an id or a region that was released this long ago. */
export const GRACE_MS = 2000

const FRESH = 0
const USED = 1
const COOLING = 2

/**
 * Numeric ids 1 … `capacity` for elements of one kernel array.
 *
 * Programs and flow state may hold an id after its release: a released id is handed out again only after the grace, when
 * no id is left that was never used, and then the one released longest ago. Ids found in the maps at start are reserved
 * before the first allocation.
 */
export class IdPool {
  readonly capacity: number
  readonly #what: string
  readonly #clock: Clock
  readonly #graceMs: number
  readonly #state: Uint8Array
  /** How often an id was released: tells a waiting release from one that was taken back meanwhile. */
  readonly #generation: Uint32Array
  #waiting: { id: number; generation: number; at: number }[] = []
  #head = 0
  #next = 1
  #used = 0

  constructor(options: { capacity: number; what: string; clock: Clock; graceMs?: number }) {
    this.capacity = options.capacity
    this.#what = options.what
    this.#clock = options.clock
    this.#graceMs = options.graceMs ?? GRACE_MS
    this.#state = new Uint8Array(options.capacity + 1)
    this.#generation = new Uint32Array(options.capacity + 1)
  }

  get used(): number {
    return this.#used
  }

  /** Take this very id, a released one included. False when it is in use or out of range. */
  reserve(id: number): boolean {
    if (!Number.isInteger(id) || id < 1 || id > this.capacity || this.#state[id] === USED) return false
    this.#state[id] = USED
    this.#used++
    return true
  }

  /** Throws WeftError `map-full` when every id is in use or still within its grace. */
  allocate(): number {
    while (this.#next <= this.capacity && this.#state[this.#next] !== FRESH) this.#next++
    const id = this.#next <= this.capacity ? this.#next : this.#oldestReleased()
    this.#state[id] = USED
    this.#used++
    return id
  }

  /** Releasing what is not in use is a mistake of the caller and does nothing. */
  release(id: number): void {
    if (this.#state[id] !== USED) return
    this.#state[id] = COOLING
    this.#used--
    const generation = this.#generation[id]! + 1
    this.#generation[id] = generation
    this.#waiting.push({ id, generation, at: this.#clock.now() })
  }

  #oldestReleased(): number {
    const limit = this.#clock.now() - this.#graceMs
    for (let entry = this.#waiting[this.#head]; entry !== undefined; entry = this.#waiting[this.#head]) {
      const live = this.#state[entry.id] === COOLING && this.#generation[entry.id] === entry.generation
      if (live && entry.at > limit) break
      this.#shift()
      if (live) return entry.id
    }
    const cooling = this.#waiting.length - this.#head
    throw new WeftError(
      'map-full',
      `no ${this.#what} left: ${this.#used} of ${this.capacity} in use, ${cooling} released a moment ago`,
      {
        hint: `raise the size of the map that holds the ${this.#what}s, or remove services`,
      },
    )
  }

  #shift(): void {
    this.#head++
    if (this.#head < 1024 || this.#head * 2 < this.#waiting.length) return
    this.#waiting = this.#waiting.slice(this.#head)
    this.#head = 0
  }
}
