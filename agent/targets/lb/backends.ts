import type { Address } from '../../types/address.ts'
import type { SlotBackend, SlotState } from '../../types/frontend.ts'
import type { Protocol } from '../../types/service.ts'
import type { GraceQueue } from './grace.ts'
import { BackendIndex } from './index-table.ts'
import type { ArrayView, Ids } from './views.ts'
import { swap16, swap32 } from './views.ts'

/** `enum be_state` − 1, most usable first: one lane of reference counters each. In the array 0 means that the id is free. */
const STATES: readonly SlotState[] = ['active', 'terminating', 'quarantined', 'maintenance']
const LANES = 4
const PROTOCOLS: readonly Protocol[] = [6, 17, 132]
/** Weight of a backend read back from a map, which holds none: the default. */
const DEFAULT_WEIGHT = 100

/** Told of a backend that no service has any more. */
export type BackendGone = (backend: Pick<SlotBackend, 'address' | 'port' | 'protocol'>) => void

/**
 * The backend array: one id per (address, port, protocol, cluster), shared by all services and counted.
 *
 * What is behind an id never changes while anything can refer to it, but for the state. Where groups disagree about the
 * state, the most usable one stands. A backend that no group has any more keeps its element for the grace (packets in
 * flight), then becomes zero, which tells the datapath that it is gone; then its id goes back.
 */
export class BackendStore {
  readonly #words: Uint32Array
  readonly #stride: number
  readonly #ids: Ids
  readonly #index: BackendIndex
  /** Lane by lane: nearly all references are of the first. */
  readonly #refs: Uint32Array
  readonly #lane: number
  readonly #leaving: GraceQueue
  readonly #onGone: BackendGone | undefined

  constructor(map: ArrayView, ids: Ids, leaving: GraceQueue, onGone?: BackendGone) {
    this.#words = map.u32
    this.#stride = map.stride / 4
    this.#ids = ids
    this.#index = new BackendIndex(ids.capacity)
    this.#lane = ids.capacity + 1
    this.#refs = new Uint32Array(this.#lane * LANES)
    this.#leaving = leaving
    this.#onGone = onGone
  }

  /** One more reference; writes the element when it is new or not as it should be. Throws WeftError `map-full`. */
  acquire(slot: SlotBackend): number {
    const rest = packRest(slot)
    let id = this.#index.find(slot.address, rest)
    if (id === 0) {
      id = this.#ids.allocate()
      this.#index.insert(id, slot.address, rest)
    } else if (this.#leaving.size > 0) this.#leaving.cancel(id)
    this.#refs[laneOf(slot.state) * this.#lane + id]!++
    this.#store(id)
    return id
  }

  /** One reference less, of a backend acquired with this state. */
  release(id: number, state: SlotState): void {
    this.#refs[laneOf(state) * this.#lane + id]!--
    if (this.#state(id) === 0) this.#leaving.push(id)
    else this.#store(id)
  }

  /** The element of `id` as its groups want it. */
  intact(id: number): boolean {
    const at = id * this.#stride
    const w = this.#words
    return (
      w[at] === swap32(this.#index.addressOf(id)) &&
      w[at + 1] === this.#second(id, this.#state(id)) &&
      (w[at + 2]! & 0xffff) === clusterOf(this.#index.restOf(id))
    )
  }

  /**
   * Takes over an element found in the map: undefined when it is empty, nonsense, or a second id for the same backend.
   * Counts no reference: `hold` does, once the caller has decided to keep all of its group.
   */
  adopt(id: number): SlotBackend | undefined {
    if (id < 1 || id > this.#ids.capacity) return undefined
    const at = id * this.#stride
    const second = this.#words[at + 1]!
    const state = STATES[(second >>> 24) - 1]
    const protocol = ((second >>> 16) & 0xff) as Protocol
    if (state === undefined || !PROTOCOLS.includes(protocol)) return undefined
    const slot: SlotBackend = {
      address: swap32(this.#words[at]!) as Address,
      port: swap16(second & 0xffff),
      protocol,
      state,
      clusterId: this.#words[at + 2]! & 0xffff,
      weight: DEFAULT_WEIGHT,
    }
    const rest = packRest(slot)
    const known = this.#index.find(slot.address, rest)
    if (known !== 0) return known === id ? slot : undefined
    if (!this.#ids.reserve(id)) return undefined
    this.#index.insert(id, slot.address, rest)
    return slot
  }

  hold(id: number, state: SlotState): void {
    this.#leaving.cancel(id)
    this.#refs[laneOf(state) * this.#lane + id]!++
  }

  /** After adoption: elements that no group holds start their grace; what cannot be read is cleared. */
  retireOrphans(): void {
    for (let id = 1; id <= this.#ids.capacity; id++) {
      const at = id * this.#stride
      if ((this.#words[at]! | this.#words[at + 1]!) === 0 || this.#state(id) !== 0) continue
      if (this.adopt(id) !== undefined) this.#leaving.push(id)
      else this.#clear(id)
    }
  }

  /** The grace of `id` is over: gone for good. */
  expire(id: number): void {
    const address = this.#index.addressOf(id) as Address
    const rest = this.#index.restOf(id)
    this.#clear(id)
    this.#index.remove(id)
    this.#ids.release(id)
    this.#onGone?.({ address, port: rest & 0xffff, protocol: protocolOf(rest) })
  }

  /** Lowest state number that any group wants; 0 for none. */
  #state(id: number): number {
    for (let lane = 0; lane < LANES; lane++) if (this.#refs[lane * this.#lane + id] !== 0) return lane + 1
    return 0
  }

  /** Port, protocol and state: one aligned word, so a state change is seen whole. */
  #second(id: number, state: number): number {
    const rest = this.#index.restOf(id)
    return (swap16(rest & 0xffff) | (protocolOf(rest) << 16) | (state << 24)) >>> 0
  }

  #store(id: number): void {
    const at = id * this.#stride
    const w = this.#words
    const first = swap32(this.#index.addressOf(id))
    const second = this.#second(id, this.#state(id))
    const third = clusterOf(this.#index.restOf(id))
    if (w[at] !== first) w[at] = first
    if ((w[at + 2]! & 0xffff) !== third) w[at + 2] = third
    if (w[at + 1] !== second) w[at + 1] = second
  }

  /** The state goes first: no reader may take an address without it. */
  #clear(id: number): void {
    const at = id * this.#stride
    this.#words[at + 1] = 0
    this.#words.fill(0, at, at + this.#stride)
  }
}

/** Port, protocol and cluster id in 32 bits; bit 31 keeps it different from zero. */
function packRest(slot: SlotBackend): number {
  return (slot.port | (protocolCode(slot.protocol) << 16) | ((slot.clusterId & 0x1fff) << 18) | 0x8000_0000) >>> 0
}

// Comparisons, not tables: these run once per backend of every set.
function laneOf(state: SlotState): number {
  return state === 'active' ? 0 : state === 'terminating' ? 1 : state === 'quarantined' ? 2 : 3
}

function protocolCode(protocol: Protocol): number {
  return protocol === 6 ? 0 : protocol === 17 ? 1 : 2
}

function protocolOf(rest: number): Protocol {
  return PROTOCOLS[(rest >>> 16) & 3]!
}

function clusterOf(rest: number): number {
  return (rest >>> 18) & 0x1fff
}
