import type { Frontend } from '../../types/frontend.ts'
import type { ServiceClients } from '../../maps/purge.ts'
import type { Element } from './element.ts'
import type { GroupRecord, Previous, Table } from './groups.ts'
import { compareCidrs } from '../../types/address.ts'
import { SERVICE_FLAGS } from '../../types/service-flags.ts'

/** A frontend as it stands in the maps. */
export interface FrontendRecord {
  readonly frontend: Frontend
  /** 0 when the element in the map has none that can be used. */
  readonly serviceId: number
  /** Undefined when the element found in the map leads to nothing usable. */
  readonly group: GroupRecord | undefined
  readonly table: Table | undefined
  /** The element in the map is what this record says. */
  published: boolean
}

/** Flags of a frontend read back whose parts do not fit together: never wanted, so it is always repaired or removed. */
export const DAMAGED = -1

export function elementOf(record: FrontendRecord): Element {
  const { frontend, group, table } = record
  return {
    serviceId: record.serviceId,
    flags: frontend.flags,
    affinitySeconds: frontend.affinitySeconds,
    maglev: frontend.algorithm === 'maglev',
    forwarding: frontend.forwarding,
    count: group?.group.count ?? 0,
    total: group?.ids.length ?? 0,
    slotOffset: group?.slots.offset ?? 0,
    tableOffset: table?.offset ?? 0,
    tableSize: table?.length ?? 0,
  }
}

export function previousOf(record: FrontendRecord | undefined): Previous | undefined {
  return record?.group === undefined ? undefined : { group: record.group, table: record.table }
}

/** What the element publishes is the same. */
export function sameElement(a: FrontendRecord, b: FrontendRecord): boolean {
  return (
    a.serviceId === b.serviceId &&
    a.group?.slots === b.group?.slots &&
    a.table === b.table &&
    a.group?.group.count === b.group?.group.count &&
    a.frontend.flags === b.frontend.flags &&
    a.frontend.algorithm === b.frontend.algorithm &&
    a.frontend.forwarding === b.frontend.forwarding &&
    a.frontend.affinitySeconds === b.frontend.affinitySeconds
  )
}

/** Both frontends leave the same in the maps. Constant time when they share the group object. */
export function sameFrontend(a: Frontend, b: Frontend): boolean {
  if (a === b) return true
  if (
    a.flags !== b.flags ||
    a.algorithm !== b.algorithm ||
    a.forwarding !== b.forwarding ||
    a.affinitySeconds !== b.affinitySeconds ||
    a.maglevSize !== b.maglevSize
  ) {
    return false
  }
  if (!sameRanges(a.sourceRanges, b.sourceRanges)) return false
  const { group: left } = a
  const { group: right } = b
  if (left === right) return true
  if (left.count !== right.count || left.slots.length !== right.slots.length) return false
  for (let i = 0; i < left.slots.length; i++) {
    const x = left.slots[i]!
    const y = right.slots[i]!
    if (
      x !== y &&
      (x.address !== y.address ||
        x.port !== y.port ||
        x.protocol !== y.protocol ||
        x.state !== y.state ||
        x.clusterId !== y.clusterId ||
        // Weights are in the maps only as shares of a Maglev table.
        (a.maglevSize > 0 && i < left.count && x.weight !== y.weight))
    ) {
      return false
    }
  }
  return true
}

/** What decides, besides the ranges, who is admitted. */
const ADMISSION = SERVICE_FLAGS.SRC_CHECK | SERVICE_FLAGS.SRC_DENY

/** Some clients that `before` admitted may not be by `after`. `removed`: ranges have left the map on the way. */
export function admitsFewer(before: Frontend, after: Frontend, removed: boolean): boolean {
  const { SRC_CHECK, SRC_DENY } = SERVICE_FLAGS
  if ((after.flags & SRC_CHECK) === 0) return false
  if (((before.flags ^ after.flags) & ADMISSION) !== 0) return true
  if ((after.flags & SRC_DENY) === 0) return removed
  const { sourceRanges: known = [] } = before
  const { sourceRanges: wanted = [] } = after
  return wanted.some((range) => known.every((other) => compareCidrs(range, other) !== 0))
}

/** Whom a frontend that checks its clients lets in. */
export function clientsOf({ flags, sourceRanges = [] }: Frontend, serviceId: number): ServiceClients {
  return { serviceId, policy: (flags & SERVICE_FLAGS.SRC_DENY) === 0 ? 'allow' : 'deny', ranges: sourceRanges }
}

function sameRanges(a: Frontend['sourceRanges'] = [], b: Frontend['sourceRanges'] = []): boolean {
  return a === b || (a.length === b.length && a.every((range, i) => compareCidrs(range, b[i]!) === 0))
}
