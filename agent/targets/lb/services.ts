import type { FrontendName } from './element.ts'
import type { GraceQueue } from './grace.ts'
import type { ArrayView, Ids } from './views.ts'
import { swap16, swap32 } from './views.ts'

/**
 * Service ids, and the reverse array that tells which frontend an id stands for. An id stays with its frontend for as long
 * as that exists, over restarts too; the array's element outlives it by the grace, for replies in flight.
 */
export class ServiceStore {
  readonly #words: Uint32Array
  readonly #stride: number
  readonly #ids: Ids
  readonly #leaving: GraceQueue

  constructor(map: ArrayView, ids: Ids, leaving: GraceQueue) {
    this.#words = map.u32
    this.#stride = map.stride / 4
    this.#ids = ids
    this.#leaving = leaving
  }

  /** Throws WeftError `map-full`. */
  allocate(name: FrontendName): number {
    const id = this.#ids.allocate()
    this.confirm(id, name)
    return id
  }

  /** Writes the element of `id` unless it is right. */
  confirm(id: number, name: FrontendName): void {
    if (this.intact(id, name)) return
    const at = id * this.#stride
    this.#words[at] = swap32(name.address)
    this.#words[at + 1] = swap16(name.port)
  }

  intact(id: number, name: FrontendName): boolean {
    const at = id * this.#stride
    return this.#words[at] === swap32(name.address) && this.#words[at + 1] === swap16(name.port)
  }

  /** Takes over an id found in the maps. False when another service has it, or it is none. */
  adopt(id: number): boolean {
    return this.#ids.reserve(id)
  }

  /** The service is gone: its id may be used again after the grace. */
  retire(id: number): void {
    this.#leaving.push(id)
  }

  /** After adoption: elements of services that are gone start their grace. */
  retireOrphans(): void {
    for (let id = 1; id <= this.#ids.capacity; id++) {
      const at = id * this.#stride
      if ((this.#words[at]! | this.#words[at + 1]!) !== 0 && this.#ids.reserve(id)) this.#leaving.push(id)
    }
  }

  /** The grace of `id` is over. */
  expire(id: number): void {
    this.#words.fill(0, id * this.#stride, (id + 1) * this.#stride)
    this.#ids.release(id)
  }
}
