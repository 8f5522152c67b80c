import type { BackendGroup } from '../../types/frontend.ts'
import type { BackendStore } from './backends.ts'
import type { GrowingView, MaglevBuilder, Spans } from './views.ts'

/** A region of the slot array. Its content never changes while anything refers to it. */
export interface Span {
  readonly offset: number
  readonly length: number
  refs: number
}

/** A Maglev table in the slot array. Its content is too long to keep here: a hash tells whether it is still what was written. */
export interface Table extends Span {
  readonly hash: number
}

/** A BackendGroup as it stands in the maps. */
export interface GroupRecord {
  readonly group: BackendGroup
  /** Backend ids in the order of the group's slots. */
  readonly ids: readonly number[]
  readonly slots: Span
  tables: readonly Table[]
  /** Frontends that use it. */
  refs: number
  /** The maps hold something else than what was written: nothing of it may be taken for granted. */
  damaged: boolean
}

/** What a frontend has published so far: new content that equals it is not written again. */
export interface Previous {
  readonly group: GroupRecord
  readonly table: Table | undefined
}

const NO_SPAN: Span = { offset: 0, length: 0, refs: 1 }
const NO_TABLES: readonly Table[] = []

/**
 * Regions of the slot array. A group object that is already there is shared; one with the same backends as its
 * frontend's previous group keeps that group's region; everything else gets a new region.
 */
export class GroupStore {
  readonly #map: GrowingView
  readonly #words: Uint32Array
  readonly #stride: number
  readonly #spans: Spans
  readonly #backends: BackendStore
  readonly #maglev: MaglevBuilder
  readonly #byGroup = new Map<BackendGroup, GroupRecord>()

  constructor(map: GrowingView, spans: Spans, backends: BackendStore, maglev: MaglevBuilder) {
    this.#map = map
    this.#words = map.u32
    this.#stride = map.stride / 4
    this.#spans = spans
    this.#backends = backends
    this.#maglev = maglev
  }

  /** One more user of the group. Throws WeftError `map-full`, having changed nothing. */
  acquire(group: BackendGroup, previous: Previous | undefined): GroupRecord {
    const known = this.#byGroup.get(group)
    if (known !== undefined && !known.damaged) {
      known.refs++
      return known
    }
    const ids: number[] = []
    try {
      for (let i = 0; i < group.slots.length; i++) ids.push(this.#backends.acquire(group.slots[i]!))
      const kept = previous?.group.slots
      const slots = kept !== undefined && this.#holds(kept, ids) ? share(kept) : this.#write(ids)
      return this.#add(group, ids, slots, 1)
    } catch (error) {
      ids.forEach((id, i) => this.#backends.release(id, group.slots[i]!.state))
      throw error
    }
  }

  release(record: GroupRecord): void {
    if (--record.refs > 0) return
    const { ids, group } = record
    // A damaged record has been replaced by a new one for the same group.
    if (this.#byGroup.get(group) === record) this.#byGroup.delete(group)
    for (let i = 0; i < ids.length; i++) this.#backends.release(ids[i]!, group.slots[i]!.state)
    this.#drop(record.slots)
  }

  /** The Maglev table of `size` entries over the group's selectable backends. Throws WeftError `map-full`, having changed nothing. */
  acquireTable(record: GroupRecord, size: number, previous: Previous | undefined): Table {
    const own = record.tables.find((table) => table.length === size && table.refs > 0)
    if (own !== undefined && !record.damaged) return share(own)
    const kept = previous?.table?.length === size ? previous.table : undefined
    if (kept !== undefined && previous !== undefined && sameInput(record, previous.group))
      return this.#addTable(record, share(kept))
    const indexes = this.#maglev(record.group.slots.slice(0, record.group.count), size)
    const ids = indexes.map((index) => record.ids[index]!)
    if (kept !== undefined && this.#holds(kept, ids)) return this.#addTable(record, share(kept))
    const span = this.#write(ids)
    return this.#addTable(record, { ...span, hash: this.#hash(span.offset, span.length) })
  }

  releaseTable(table: Table): void {
    this.#drop(table)
  }

  /** The maps hold what was written for the group and this table. */
  intact(record: GroupRecord, table: Table | undefined): boolean {
    if (table !== undefined && this.#hash(table.offset, table.length) !== table.hash) return false
    return this.#holds(record.slots, record.ids) && record.ids.every((id) => this.#backends.intact(id))
  }

  /** The ids at a place in the array; undefined when it does not lie inside. */
  read(offset: number, length: number): number[] | undefined {
    if (offset + length > this.#map.count) return undefined
    this.#map.reach(offset + length)
    const ids = new Array<number>(length)
    for (let i = 0, at = offset * this.#stride; i < length; i++, at += this.#stride) ids[i] = this.#words[at]!
    return ids
  }

  /** Takes over a region found in the maps. Undefined when part of it is taken already. */
  reserve(offset: number, length: number): Span | undefined {
    if (length === 0) return NO_SPAN
    return this.#spans.reserve(offset, length) ? { offset, length, refs: 0 } : undefined
  }

  /** Takes over a group read from the maps, with no user yet. */
  adopt(group: BackendGroup, slots: Span, ids: readonly number[]): GroupRecord {
    for (let i = 0; i < ids.length; i++) this.#backends.hold(ids[i]!, group.slots[i]!.state)
    return this.#add(group, ids, share(slots), 0)
  }

  /** Takes over a Maglev table with no user yet. */
  adoptTable(slots: Span): Table {
    return { ...slots, hash: this.#hash(slots.offset, slots.length) }
  }

  #add(group: BackendGroup, ids: readonly number[], slots: Span, refs: number): GroupRecord {
    const record: GroupRecord = { group, ids, slots, tables: NO_TABLES, refs, damaged: false }
    this.#byGroup.set(group, record)
    return record
  }

  #addTable(record: GroupRecord, table: Table): Table {
    record.tables = [...record.tables.filter((other) => other.refs > 0 && other !== table), table]
    return table
  }

  /** A new region, complete before anything can refer to it. */
  #write(ids: ArrayLike<number>): Span {
    if (ids.length === 0) return NO_SPAN
    const offset = this.#spans.allocate(ids.length)
    this.#map.reach(offset + ids.length)
    for (let i = 0, at = offset * this.#stride; i < ids.length; i++, at += this.#stride) this.#words[at] = ids[i]!
    return { offset, length: ids.length, refs: 1 }
  }

  #holds(span: Span, ids: ArrayLike<number>): boolean {
    if (span.length !== ids.length) return false
    for (let i = 0, at = span.offset * this.#stride; i < ids.length; i++, at += this.#stride) {
      if (this.#words[at] !== ids[i]) return false
    }
    return true
  }

  #hash(offset: number, length: number): number {
    let hash = 0x811c9dc5
    for (let i = 0, at = offset * this.#stride; i < length; i++, at += this.#stride) {
      hash = Math.imul(hash ^ this.#words[at]!, 0x01000193)
      hash ^= hash >>> 15
    }
    return hash
  }

  #drop(span: Span): void {
    if (span !== NO_SPAN && --span.refs === 0) this.#spans.free(span.offset)
  }
}

function share<S extends Span>(span: S): S {
  if (span !== NO_SPAN) span.refs++
  return span
}

/** Both groups' tables are built from the same backends in the same order with the same weights. */
function sameInput(record: GroupRecord, before: GroupRecord): boolean {
  if (before.damaged || before.group.count !== record.group.count) return false
  for (let i = 0; i < record.group.count; i++) {
    if (before.ids[i] !== record.ids[i] || before.group.slots[i]!.weight !== record.group.slots[i]!.weight) return false
  }
  return true
}
