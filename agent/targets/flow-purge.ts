import type { Clock } from '../lib/clock.ts'
import type { PurgeCounts, PurgeKind, ServiceClients } from '../maps/purge.ts'
import { decodePurge, purgeArguments, purgeBit, purgeRangeWords } from '../maps/purge.ts'
import type { ArrayView, Ids } from './lb/views.ts'

export interface PurgeRequest {
  readonly services?: Iterable<number>
  readonly backends?: Iterable<number>
  /** Of a service that stays: all flows but those of these clients. */
  readonly clients?: ServiceClients
}

export interface FlowPurgeOptions {
  /** `w_purge`, mapped. */
  readonly ids: ArrayView
  /** `w_purge_ranges`, mapped. */
  readonly ranges: ArrayView
  /** Runs the program that walks the flow tables, with its arguments; throws when it cannot. */
  readonly walk: (run: Buffer) => Buffer
  readonly clock: Clock
  readonly onPurged?: (purged: { readonly ids: number; readonly flows: PurgeCounts; readonly tookMs: number }) => void
  readonly onError: (error: unknown) => void
}

/** Ids that come within this time share a walk. */
const GATHER_MS = 100
/** Walks take at most this part of the time, however many ids come. */
const SHARE = 0.05
const RETRY_MS = 2000
/** A walk may miss entries that packets move about meanwhile; a second one finds nothing. */
const MAX_WALKS = 3

/**
 * Deletes flows by the id of their service or backend: one walk over the tables for all ids of a moment, in the kernel. The
 * walk takes tens of milliseconds when the tables are full, so walks are gathered and kept apart.
 */
export class FlowPurge {
  readonly #options: FlowPurgeOptions
  readonly #pending: Record<PurgeKind, Set<number>> = { backends: new Set(), services: new Set() }
  /** By service id; what was asked last counts. */
  readonly #clients = new Map<number, ServiceClients>()
  #done: (() => void)[] = []
  #cancel: (() => void) | undefined
  #notBefore = 0
  #closed = false

  constructor(options: FlowPurgeOptions) {
    this.#options = options
  }

  /** Soon, in the background. `done` is called once the flows of these ids are gone. */
  purge(request: PurgeRequest, done?: () => void): void {
    for (const id of request.services ?? []) this.#pending.services.add(id)
    for (const id of request.backends ?? []) this.#pending.backends.add(id)
    if (request.clients !== undefined) this.#clients.set(request.clients.serviceId, request.clients)
    if (done !== undefined) this.#done.push(done)
    this.#schedule(GATHER_MS)
  }

  /** Ids of a pool, handed out again only when no flow has them any more. */
  guard(kind: PurgeKind, ids: Ids): Ids {
    return {
      get used() {
        return ids.used
      },
      capacity: ids.capacity,
      reserve: (id) => ids.reserve(id),
      allocate: () => ids.allocate(),
      release: (id) => this.purge({ [kind]: [id] }, () => ids.release(id)),
    }
  }

  /** Now. What cannot be done is tried again later. */
  flush(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const { backends, services } = this.#pending
    const ids = backends.size + services.size + this.#clients.size
    if (ids === 0 && this.#done.length === 0) return
    const { clock, onPurged, onError } = this.#options
    const start = clock.now()
    let flows: PurgeCounts
    try {
      flows = ids === 0 ? { tcp: 0, other: 0 } : this.#walkMarked()
    } catch (error) {
      onError(error)
      this.#schedule(RETRY_MS)
      return
    }
    const tookMs = clock.now() - start
    this.#notBefore = clock.now() + tookMs / SHARE
    backends.clear()
    services.clear()
    this.#clients.clear()
    const done = this.#done
    this.#done = []
    for (const each of done) each()
    onPurged?.({ ids, flows, tookMs })
  }

  /** Does what is still to be done. */
  close(): void {
    this.flush()
    this.#closed = true
    this.#cancel?.()
    this.#cancel = undefined
  }

  #schedule(ms: number): void {
    if (this.#closed || this.#cancel !== undefined) return
    const { clock } = this.#options
    this.#cancel = clock.after(Math.max(ms, this.#notBefore - clock.now()), () => this.flush())
  }

  #walkMarked(): PurgeCounts {
    const ranges = this.#mark()
    try {
      let [tcp, other] = [0, 0]
      for (let i = 0; i < MAX_WALKS; i++) {
        const found = decodePurge(this.#options.walk(purgeArguments(ranges)))
        tcp += found.tcp
        other += found.other
        if (found.tcp + found.other === 0) break
      }
      return { tcp, other }
    } finally {
      this.#options.ids.u32.fill(0)
    }
  }

  /** Writes what is to go, and who is not; how many ranges there are of the latter. */
  #mark(): number {
    const { backends, services } = this.#pending
    for (const id of backends) this.#markId('backends', id)
    for (const id of services) this.#markId('services', id)
    let count = 0
    for (const clients of this.#clients.values()) {
      this.#markId('services', clients.serviceId)
      // A service that is gone has no clients, and one with too many ranges for the room there is loses all its flows.
      if (!services.has(clients.serviceId)) count += this.#writeRanges(clients, count)
    }
    return count
  }

  #markId(kind: PurgeKind, id: number): void {
    const { ids } = this.#options
    const { word, mask } = purgeBit(kind, id, ids.stride)
    if (word < ids.u32.length) ids.u32[word] = (ids.u32[word]! | mask) >>> 0
  }

  #writeRanges(clients: ServiceClients, first: number): number {
    const { ranges } = this.#options
    if (first + clients.ranges.length > ranges.count) return 0
    clients.ranges.forEach((range, i) => {
      ranges.u32.set(purgeRangeWords(clients, range), ((first + i) * ranges.stride) / 4)
    })
    return clients.ranges.length
  }
}
