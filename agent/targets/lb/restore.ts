import type { BackendGroup, Frontend, SlotBackend } from '../../types/frontend.ts'
import type { BackendStore } from './backends.ts'
import type { Element, FrontendName } from './element.ts'
import type { GroupRecord, GroupStore, Span, Table } from './groups.ts'
import type { FrontendRecord } from './record.ts'
import type { ServiceStore } from './services.ts'
import { protocolOf, typeOf } from './element.ts'
import { DAMAGED } from './record.ts'

/** An element found in the service map that this process did not write. */
export interface Found {
  readonly id: string
  readonly name: FrontendName
  readonly element: Element
  /** What this process has written for the frontend, when somebody else has written over it. */
  readonly previous: FrontendRecord | undefined
}

interface Stores {
  readonly services: ServiceStore
  readonly backends: BackendStore
  readonly groups: GroupStore
}

const NOBODY: BackendGroup = { slots: [], count: 0, decisions: [] }

/**
 * Takes over what an earlier process left in the maps: ids and regions are reserved, elements that lead to the same region
 * share one group. What does not fit together is reported as DAMAGED and nothing of it is relied on.
 */
export function restore(found: readonly Found[], stores: Stores): FrontendRecord[] {
  const spans = new Map<string, Span | undefined>()
  const groups = new Map<string, GroupRecord | undefined>()
  const tables = new Map<string, Table | undefined>()
  const keyOf = ({ slotOffset, count, total }: Element): string =>
    total === 0 ? '' : `${slotOffset}+${count}/${total}`
  const uneven = new Set<string>()

  const spanAt = (offset: number, length: number): Span | undefined => {
    const key = `${offset}+${length}`
    if (!spans.has(key)) spans.set(key, stores.groups.reserve(offset, length))
    return spans.get(key)
  }
  const tableAt = ({ tableOffset, tableSize }: Element): Table | undefined => {
    const key = `${tableOffset}+${tableSize}`
    if (!tables.has(key)) {
      const span = spanAt(tableOffset, tableSize)
      tables.set(key, span === undefined ? undefined : stores.groups.adoptTable(span))
    }
    return tables.get(key)
  }
  const groupOf = (element: Element): GroupRecord | undefined => {
    const key = keyOf(element)
    if (!groups.has(key)) groups.set(key, adoptGroup(element, uneven.has(key)))
    return groups.get(key)
  }
  const adoptGroup = (element: Element, unevenWeights: boolean): GroupRecord | undefined => {
    const ids = stores.groups.read(element.slotOffset, element.total)
    if (ids === undefined) return undefined
    const slots: SlotBackend[] = []
    for (const id of ids) {
      const slot = stores.backends.adopt(id)
      if (slot === undefined) return undefined
      slots.push(unevenWeights ? { ...slot, weight: 0 } : slot)
    }
    const span = spanAt(element.slotOffset, element.total)
    return span === undefined
      ? undefined
      : stores.groups.adopt({ slots, count: element.count, decisions: [] }, span, ids)
  }

  const broken = new Set<Element>()
  // In the order of the regions: reserving is then a cut from the front of the free tail.
  const inOrder = [...found].sort((a, b) => a.element.slotOffset - b.element.slotOffset)
  for (const { element } of inOrder) {
    if (element.tableSize === 0) continue
    const shares = sharesOf(stores.groups, element)
    if (shares === 'foreign') broken.add(element)
    else if (shares === 'uneven') uneven.add(keyOf(element))
  }
  return inOrder.map(({ id, name, element, previous }) => {
    const owned =
      (serviceIdOf(previous) === element.serviceId && element.serviceId !== 0) ||
      stores.services.adopt(element.serviceId)
    const serviceId = owned ? element.serviceId : 0
    const group =
      owned && !broken.has(element) && stores.services.intact(serviceId, name)
        ? (ownGroup(previous, element) ?? groupOf(element))
        : undefined
    const table =
      group === undefined || element.tableSize === 0 ? undefined : (ownTable(previous, element) ?? tableAt(element))
    if (group === undefined || (element.tableSize > 0 && table === undefined)) {
      return {
        frontend: frontendOf(id, name, element, NOBODY, DAMAGED),
        serviceId,
        group: undefined,
        table: undefined,
        published: false,
      }
    }
    group.refs++
    if (table !== undefined) {
      table.refs++
      if (!group.tables.includes(table)) group.tables = [...group.tables, table]
    }
    return {
      frontend: frontendOf(id, name, element, group.group, element.flags),
      serviceId,
      group,
      table,
      published: true,
    }
  })
}

const serviceIdOf = (record: FrontendRecord | undefined): number => record?.serviceId ?? 0

/** The group the frontend has already, when the element leads to the same. */
function ownGroup(record: FrontendRecord | undefined, element: Element): GroupRecord | undefined {
  const group = record?.group
  if (group === undefined || group.damaged || group.ids.length !== element.total) return undefined
  return group.slots.offset === element.slotOffset && group.group.count === element.count ? group : undefined
}

function ownTable(record: FrontendRecord | undefined, element: Element): Table | undefined {
  const table = record?.table
  return table?.offset === element.tableOffset && table.length === element.tableSize ? table : undefined
}

/**
 * How a table's entries are spread over the selectable backends. Even shares mean that all weights are equal, which the
 * default says; other weights cannot be read back. Foreign: it leads to a backend outside the group.
 */
function sharesOf(groups: GroupStore, element: Element): 'even' | 'uneven' | 'foreign' {
  const ids = groups.read(element.slotOffset, element.count)
  const table = groups.read(element.tableOffset, element.tableSize)
  if (ids === undefined || table === undefined) return 'foreign'
  const shares = new Map(ids.map((id) => [id, 0]))
  for (const id of table) {
    const share = shares.get(id)
    if (share === undefined) return 'foreign'
    shares.set(id, share + 1)
  }
  const counts = [...shares.values()]
  return Math.max(...counts) - Math.min(...counts) <= 1 ? 'even' : 'uneven'
}

function frontendOf(id: string, name: FrontendName, element: Element, group: BackendGroup, flags: number): Frontend {
  return {
    id,
    address: name.address,
    port: name.port,
    protocol: protocolOf(name),
    scope: name.scope,
    service: '',
    type: typeOf(element.flags),
    flags,
    algorithm: element.maglev ? 'maglev' : 'random',
    forwarding: element.forwarding,
    affinitySeconds: element.affinitySeconds,
    maglevSize: element.tableSize,
    group,
  }
}
