import type { MappedArray } from '../../../native/index.ts'
import { BACKEND_MAP, BACKEND_STATES, BACKEND_STRIDE, backendValue } from '../../maps/backend.ts'
import { REVNAT_MAP, REVNAT_STRIDE, revNatValue } from '../../maps/revnat.ts'
import type { ServiceKey, ServiceValue } from '../../maps/service.ts'
import { SERVICE_MAP, serviceKey, serviceValue, SVC_ALGORITHMS, SVC_FORWARD, SVC_SCOPES } from '../../maps/service.ts'
import { SLOT_MAP, SLOT_STRIDE } from '../../maps/slot.ts'
import { formatAddress } from '../../types/address.ts'
import type { BackendRow, MaglevRow, RevNatRow, ServiceRow, SlotRow } from './format.ts'
import { hostPort, nameOf, protocolOrAny } from './format.ts'
import type { OpenMap } from './pins.ts'
import { serviceFlags } from './service-flags.ts'

/** All backends in use, by id. */
export function readBackends(open: OpenMap): BackendRow[] {
  using backends = open(BACKEND_MAP.name).mmap()
  const rows: BackendRow[] = []
  for (let id = 1; id < backends.count; id++) {
    const row = backendAt(backends, id)
    if (row !== undefined) rows.push(row)
  }
  return rows
}

/** All services with their slots, by address. */
export function readServices(open: OpenMap): ServiceRow[] {
  using slots = open(SLOT_MAP.name).mmap()
  using backends = open(BACKEND_MAP.name).mmap()
  return entries(open).map(([key, value]) => ({
    id: value.serviceId,
    address: keyAddress(key),
    flags: serviceFlags(value.flags),
    algorithm: nameOf(SVC_ALGORITHMS, value.algorithm),
    forwarding: nameOf(SVC_FORWARD, value.forward),
    affinitySeconds: value.affinitySeconds,
    maglevSize: value.maglevSize,
    slots: region(slots, value.slotOffset, value.count + value.quarantined).map((backendId, i): SlotRow => ({
      backendId,
      address: backendAt(backends, backendId)?.address,
      quarantined: i >= value.count,
    })),
  }))
}

/** Services that have a Maglev table: how many of its entries each backend holds, most first. */
export function readMaglev(open: OpenMap): MaglevRow[] {
  using slots = open(SLOT_MAP.name).mmap()
  using backends = open(BACKEND_MAP.name).mmap()
  const rows: MaglevRow[] = []
  for (const [key, value] of entries(open)) {
    if (value.maglevSize === 0) continue
    const counts = new Map<number, number>()
    for (const id of region(slots, value.maglevOffset, value.maglevSize)) counts.set(id, (counts.get(id) ?? 0) + 1)
    rows.push({
      id: value.serviceId,
      address: keyAddress(key),
      size: value.maglevSize,
      backends: [...counts]
        .sort(([idA, a], [idB, b]) => b - a || idA - idB)
        .map(([id, held]) => ({ id, address: backendAt(backends, id)?.address, slots: held })),
    })
  }
  return rows
}

/** The address replies of a service are turned back into, by service id. */
export function readRevNat(open: OpenMap): RevNatRow[] {
  using addresses = open(REVNAT_MAP.name).mmap()
  const rows: RevNatRow[] = []
  for (let id = 1; id < addresses.count; id++) {
    const { address, port } = revNatValue.decode(addresses.bytes, id * REVNAT_STRIDE)
    if (port !== 0) rows.push({ id, address: `${formatAddress(address)}:${port}` })
  }
  return rows
}

function entries(open: OpenMap): [ServiceKey, ServiceValue][] {
  const { keys, values, count } = open(SERVICE_MAP.name).dump()
  const all: [ServiceKey, ServiceValue][] = []
  for (let i = 0; i < count; i++) {
    all.push([serviceKey.decode(keys, i * serviceKey.size), serviceValue.decode(values, i * serviceValue.size)])
  }
  return all.sort(
    ([a], [b]) => a.address - b.address || a.port - b.port || a.protocol - b.protocol || a.scope - b.scope,
  )
}

function keyAddress(key: ServiceKey): string {
  const scope = key.scope === SVC_SCOPES.INT ? '/i' : ''
  return hostPort(formatAddress(key.address), key.port, key.protocol) + scope
}

/** A region that reaches beyond the array is cut: a listing must work on damaged maps, too. */
function region(slots: MappedArray, offset: number, count: number): number[] {
  const end = Math.min(offset + count, slots.count)
  const words = slots.u32
  const ids: number[] = []
  for (let i = offset; i < end; i++) ids.push(words[(i * SLOT_STRIDE) / 4] ?? 0)
  return ids
}

function backendAt(backends: MappedArray, id: number): BackendRow | undefined {
  if (id === 0 || id >= backends.count) return undefined
  const backend = backendValue.decode(backends.bytes, id * BACKEND_STRIDE)
  if (backend.state === 0) return undefined
  const ip = formatAddress(backend.address)
  return {
    id,
    address: hostPort(ip, backend.port, backend.protocol),
    protocol: protocolOrAny(backend.protocol),
    ip,
    state: nameOf(BACKEND_STATES, backend.state),
    clusterId: backend.clusterId,
    zone: backend.zone,
  }
}
