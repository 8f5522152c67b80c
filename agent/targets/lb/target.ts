import type { Clock } from '../../lib/clock.ts'
import type { Failures, Target } from '../../reconcile/target.ts'
import type { Frontend } from '../../types/frontend.ts'
import type { ServiceClients } from '../../maps/purge.ts'
import type { Found } from './restore.ts'
import type { FrontendRecord } from './record.ts'
import type { ArrayView, GrowingView, HashView, Ids, MaglevBuilder, Spans } from './views.ts'
import { NO_FAILURES } from '../../reconcile/target.ts'
import type { BackendGone } from './backends.ts'
import { BackendStore } from './backends.ts'
import {
  decodeKey,
  decodeValue,
  encodeKey,
  encodeValue,
  idOf,
  KEY_BYTES,
  nameOf,
  parseFrontendId,
  VALUE_BYTES,
} from './element.ts'
import { GraceQueue } from './grace.ts'
import { GroupStore } from './groups.ts'
import { publish } from './publish.ts'
import { RangeStore } from './ranges.ts'
import { admitsFewer, clientsOf, DAMAGED, elementOf, previousOf, sameElement, sameFrontend } from './record.ts'
import { restore } from './restore.ts'
import { ServiceStore } from './services.ts'

export interface LbMaps {
  /** `w_svc4_v1`. */
  readonly services: HashView
  /** `w_slot_v1`, mapped as far as it is used. */
  readonly slots: GrowingView
  /** `w_be4_v1`, mapped. */
  readonly backends: ArrayView
  /** `w_rnat4_v1`, mapped. */
  readonly reverse: ArrayView
  /** `w_srcr4_v1`. */
  readonly ranges: HashView
}

export interface LbOptions {
  readonly maps: LbMaps
  /** Ids 1 … elements − 1 of `reverse`. */
  readonly serviceIds: Ids
  /** Ids 1 … elements − 1 of `backends`. */
  readonly backendIds: Ids
  /** Over the elements of `slots`. */
  readonly regions: Spans
  readonly maglev: MaglevBuilder
  readonly clock: Clock
  /** How long removed backends and services stay readable. */
  readonly graceMs: number
  /** Told of a service, some of whose flows may be of other clients than it admits now. */
  readonly onRangesChanged?: ((clients: ServiceClients) => void) | undefined
  /** Told of each backend when its grace is over. */
  readonly onBackendGone?: BackendGone | undefined
}

export interface LbStats {
  readonly frontends: number
  readonly backends: { readonly used: number; readonly max: number }
  readonly services: { readonly used: number; readonly max: number }
  readonly slots: { readonly used: number; readonly max: number }
}

/**
 * Frontends in the four load-balancer maps.
 *
 * A change writes new backends, then new regions, then one update of the service element publishes all of it: whatever a
 * program reads, it reads a whole service. Nothing that a published element leads to is changed in place, but for the state
 * of a backend; what it led to before is reused only after a grace.
 */
export class LbTarget implements Target<Frontend> {
  readonly name = 'lb'
  readonly #map: HashView
  readonly #clock: Clock
  readonly #graceMs: number
  readonly #options: LbOptions
  readonly #leavingBackends: GraceQueue
  readonly #leavingServices: GraceQueue
  readonly #backends: BackendStore
  readonly #services: ServiceStore
  readonly #groups: GroupStore
  readonly #ranges: RangeStore
  readonly #records = new Map<string, FrontendRecord>()
  readonly #expected = Buffer.alloc(VALUE_BYTES)
  #loaded = false
  #cancelSweep: (() => void) | undefined

  constructor(options: LbOptions) {
    const { maps, clock, graceMs } = options
    this.#options = options
    this.#map = maps.services
    this.#clock = clock
    this.#graceMs = graceMs
    this.#leavingBackends = new GraceQueue(clock, graceMs)
    this.#leavingServices = new GraceQueue(clock, graceMs)
    this.#backends = new BackendStore(maps.backends, options.backendIds, this.#leavingBackends, options.onBackendGone)
    this.#services = new ServiceStore(maps.reverse, options.serviceIds, this.#leavingServices)
    this.#ranges = new RangeStore(maps.ranges)
    this.#groups = new GroupStore(maps.slots, options.regions, this.#backends, options.maglev)
  }

  /**
   * Compares the maps with what this process knows. Elements it did not write are taken over; those that are not as it
   * wrote them come back DAMAGED. To be called before the first `set`, so that no id in use is given out.
   */
  async load(): Promise<ReadonlyMap<string, Frontend>> {
    this.#ranges.load()
    const { keys, values, count } = this.#map.dump()
    const result = new Map<string, Frontend>()
    const unknown: Found[] = []
    for (let i = 0; i < count; i++) {
      const name = decodeKey(keys, i * KEY_BYTES)
      const id = idOf(name)
      const record = this.#records.get(id)
      const seen = record === undefined ? undefined : this.#verified(record, values, i * VALUE_BYTES)
      if (seen !== undefined) result.set(id, seen)
      else unknown.push({ id, name, element: decodeValue(values, i * VALUE_BYTES), previous: record })
    }
    for (const [id, record] of this.#records) if (!result.has(id)) record.published = false
    if (unknown.length > 0) this.#adopt(unknown, result)
    if (!this.#loaded || unknown.length > 0) {
      this.#backends.retireOrphans()
      this.#services.retireOrphans()
    }
    this.#dropOrphanRanges()
    this.#loaded = true
    this.#sweepLater()
    return result
  }

  async set(batch: readonly (readonly [key: string, value: Frontend])[]): Promise<Failures> {
    this.#sweep()
    const failures = new Map<string, Error>()
    const changed: FrontendRecord[] = []
    for (const [id, frontend] of batch.length > 1 ? new Map(batch) : batch) {
      try {
        const old = this.#records.get(id)
        const record = this.#prepare(frontend, old)
        if (old?.published === true && sameElement(old, record)) this.#commit(id, record)
        else changed.push(record)
      } catch (error) {
        failures.set(id, error as Error)
      }
    }
    publish(this.#map, changed, (record, error) => {
      const { id } = record.frontend
      if (error === undefined) return this.#commit(id, record)
      this.#rollBack(record, this.#records.get(id))
      failures.set(id, error)
    })
    this.#sweepLater()
    return failures
  }

  async delete(keys: readonly string[]): Promise<Failures> {
    this.#sweep()
    const bytes = Buffer.alloc(keys.length * KEY_BYTES)
    let count = 0
    for (const key of keys) {
      const record = this.#records.get(key)
      const name = record === undefined ? parseFrontendId(key) : nameOf(record.frontend)
      if (name !== undefined) encodeKey(bytes, count++ * KEY_BYTES, name)
    }
    if (count > 0) this.#map.deleteBatch(bytes, count)
    for (const key of keys) {
      const record = this.#records.get(key)
      if (record === undefined) continue
      this.#records.delete(key)
      this.#release(record)
      if (record.serviceId !== 0) {
        this.#ranges.trim(record.serviceId)
        this.#services.retire(record.serviceId)
      }
    }
    this.#sweepLater()
    return NO_FAILURES
  }

  equals(a: Frontend, b: Frontend): boolean {
    return sameFrontend(a, b)
  }

  /** The service id of a frontend; undefined when it is not in the maps. */
  idOf(frontendId: string): number | undefined {
    const record = this.#records.get(frontendId)
    return record === undefined || record.serviceId === 0 ? undefined : record.serviceId
  }

  stats(): LbStats {
    const { backendIds, serviceIds, regions } = this.#options
    return {
      frontends: this.#records.size,
      backends: { used: backendIds.used, max: backendIds.capacity },
      services: { used: serviceIds.used, max: serviceIds.capacity },
      slots: { used: regions.used, max: regions.size },
    }
  }

  /** Ends the timer that clears removed backends. The maps stay as they are. */
  close(): void {
    this.#cancelSweep?.()
    this.#cancelSweep = undefined
  }

  /** Writes everything the element will lead to. Throws WeftError `map-full`, having taken nothing. */
  #prepare(frontend: Frontend, old: FrontendRecord | undefined): FrontendRecord {
    const previous = previousOf(old)
    const group = this.#groups.acquire(frontend.group, previous)
    let table: FrontendRecord['table']
    try {
      if (frontend.maglevSize > 0 && group.group.count > 0) {
        table = this.#groups.acquireTable(group, frontend.maglevSize, previous)
      }
      const name = nameOf(frontend)
      const known = old !== undefined && old.serviceId !== 0
      const serviceId = known ? old.serviceId : this.#services.allocate(name)
      if (known) this.#services.confirm(serviceId, name)
      this.#coverRanges(serviceId, frontend, known)
      return { frontend, serviceId, group, table, published: true }
    } catch (error) {
      if (table !== undefined) this.#groups.releaseTable(table)
      this.#groups.release(group)
      throw error
    }
  }

  #commit(id: string, record: FrontendRecord): void {
    const old = this.#records.get(id)
    this.#records.set(id, record)
    if (old !== undefined) this.#release(old)
    const removed = record.serviceId !== 0 && this.#ranges.trim(record.serviceId, record.frontend.sourceRanges)
    if (old?.serviceId !== record.serviceId || record.serviceId === 0) return
    if (admitsFewer(old.frontend, record.frontend, removed)) {
      this.#options.onRangesChanged?.(clientsOf(record.frontend, record.serviceId))
    }
  }

  #rollBack(record: FrontendRecord, old: FrontendRecord | undefined): void {
    this.#release(record)
    if (record.serviceId === old?.serviceId) this.#ranges.trim(record.serviceId, old.frontend.sourceRanges)
    else this.#forget(record.serviceId)
  }

  #release(record: FrontendRecord): void {
    if (record.table !== undefined) this.#groups.releaseTable(record.table)
    if (record.group !== undefined) this.#groups.release(record.group)
  }

  /** The frontend as it was set, DAMAGED when what its element leads to is not; undefined when the element is not ours. */
  #verified(record: FrontendRecord, values: Buffer, at: number): Frontend | undefined {
    encodeValue(this.#expected, 0, elementOf(record))
    record.published = this.#expected.equals(values.subarray(at, at + VALUE_BYTES))
    if (record.group === undefined || !record.published) return undefined
    const whole =
      this.#groups.intact(record.group, record.table) &&
      this.#services.intact(record.serviceId, nameOf(record.frontend))
    if (whole && this.#ranges.intact(record.serviceId, record.frontend.sourceRanges)) return record.frontend
    if (!whole) record.group.damaged = true
    return { ...record.frontend, flags: DAMAGED }
  }

  #adopt(unknown: readonly Found[], result: Map<string, Frontend>): void {
    for (const found of restore(unknown, {
      services: this.#services,
      backends: this.#backends,
      groups: this.#groups,
    })) {
      const sourceRanges = this.#ranges.read(found.serviceId)
      const record = sourceRanges === undefined ? found : { ...found, frontend: { ...found.frontend, sourceRanges } }
      const { id } = record.frontend
      const old = this.#records.get(id)
      this.#commit(id, record)
      if (old !== undefined && old.serviceId !== record.serviceId && old.serviceId !== 0) {
        this.#services.retire(old.serviceId)
      }
      result.set(id, record.frontend)
    }
  }

  /** Ranges that no element leads to: their service went with an earlier process. */
  #dropOrphanRanges(): void {
    const used = new Set([...this.#records.values()].map((record) => record.serviceId))
    for (const id of this.#ranges.services()) if (!used.has(id)) this.#ranges.trim(id)
  }

  /** An id that was given out for nothing goes back. */
  #coverRanges(serviceId: number, frontend: Frontend, known: boolean): void {
    try {
      this.#ranges.cover(serviceId, frontend.sourceRanges)
    } catch (error) {
      if (!known) this.#forget(serviceId)
      throw error
    }
  }

  #forget(serviceId: number): void {
    this.#ranges.trim(serviceId)
    this.#services.retire(serviceId)
  }

  #sweep(): void {
    if (this.#leavingBackends.size > 0) this.#leavingBackends.drain((id) => this.#backends.expire(id))
    if (this.#leavingServices.size > 0) this.#leavingServices.drain((id) => this.#services.expire(id))
  }

  /** Removed backends become zero also when nothing else changes. */
  #sweepLater(): void {
    if (this.#cancelSweep !== undefined || this.#leavingBackends.size + this.#leavingServices.size === 0) return
    this.#cancelSweep = this.#clock.after(this.#graceMs, () => {
      this.#cancelSweep = undefined
      this.#sweep()
      this.#sweepLater()
    })
  }
}
