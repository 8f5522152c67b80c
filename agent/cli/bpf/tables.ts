import { formatTable } from '../table.ts'
import type {
  BackendRow,
  FlowRow,
  IpcacheRow,
  MaglevRow,
  MetricRow,
  RevNatRow,
  ServiceRow,
  SourceRangeRow,
} from './format.ts'

/**
 * The listing of `cilium-dbg bpf lb list`, sorted: the service's own line (slot 0), then its slots in order. Quarantined
 * ones, which take no new connections, are marked.
 */
export function renderLb(services: readonly ServiceRow[]): string {
  const rows = services.flatMap((service) => [
    [`${service.address} (0)`, `0.0.0.0:0 (${service.id}) (0) [${flagsOf(service)}]`],
    ...service.slots.map((slot, i) => [
      `${service.address} (${i + 1})`,
      slot.address === undefined
        ? `backend ${slot.backendId} not found`
        : `${slot.address} (${service.id}) (${i + 1})${slot.quarantined ? ' [quarantined]' : ''}`,
    ]),
  ])
  return formatTable(['SERVICE ADDRESS', 'BACKEND ADDRESS (REVNAT_ID) (SLOT)'], rows)
}

export function renderFrontends(services: readonly ServiceRow[]): string {
  return formatTable(
    ['SERVICE ADDRESS', 'ID', 'BACKENDS', 'QUARANTINED', 'ALGORITHM', 'MODE', 'AFFINITY', 'FLAGS'],
    services.map((service) => {
      const quarantined = service.slots.filter((slot) => slot.quarantined).length
      return [
        service.address,
        String(service.id),
        String(service.slots.length - quarantined),
        String(quarantined),
        service.maglevSize > 0 ? `${service.algorithm} (${service.maglevSize})` : service.algorithm,
        service.forwarding,
        service.affinitySeconds === 0 ? '-' : `${service.affinitySeconds}s`,
        flagsOf(service),
      ]
    }),
  )
}

function flagsOf({ flags, global }: ServiceRow): string {
  return [...flags, ...(global === true ? ['global'] : [])].join(', ')
}

/** `lb list --backends`: id and address, as `cilium-dbg` prints them. */
export function renderBackendIds(backends: readonly BackendRow[]): string {
  return formatTable(
    ['ID', 'BACKEND ADDRESS'],
    backends.map((row) => [String(row.id), `${row.protocol}://${row.ip}${row.zone === 0 ? '' : ` [${row.zone}]`}`]),
  )
}

export function renderBackends(backends: readonly BackendRow[]): string {
  return formatTable(
    ['ID', 'BACKEND ADDRESS', 'STATE', 'CLUSTER ID', 'ZONE'],
    backends.map((row) => [String(row.id), row.address, row.state, String(row.clusterId), String(row.zone)]),
  )
}

export function renderRevNat(rows: readonly RevNatRow[]): string {
  return formatTable(
    ['ID', 'BACKEND ADDRESS (REVNAT_ID) (SLOT)'],
    rows.map((row) => [String(row.id), row.address]),
  )
}

/** Slots per backend show at a glance whether weights are honoured. */
export function renderMaglev(rows: readonly MaglevRow[]): string {
  return formatTable(
    ['SERVICE ADDRESS', 'ID', 'TABLE SIZE', 'BACKEND', 'SLOTS', 'SHARE'],
    rows.map((row) => [
      row.address,
      String(row.id),
      String(row.size),
      row.backends.map((backend) => backend.address ?? `backend ${backend.id} not found`),
      row.backends.map((backend) => String(backend.slots)),
      row.backends.map((backend) => `${((100 * backend.slots) / row.size).toFixed(2)}%`),
    ]),
  )
}

export function renderFlows(rows: readonly FlowRow[]): string {
  return formatTable(
    ['PROTO', 'DIRECTION', 'PACKET', 'BECOMES', 'SERVICE', 'BACKEND', 'EXPIRES', 'FLAGS'],
    rows.map((row) => [
      row.protocol,
      row.direction,
      `${row.source} -> ${row.destination}`,
      `${row.newSource} -> ${row.newDestination}`,
      String(row.serviceId),
      String(row.backendId),
      row.expiresIn > 0 ? `${row.expiresIn}s` : 'expired',
      row.flags.join(','),
    ]),
  )
}

/** The listing of `cilium-dbg bpf ipcache list`; nothing is encrypted, so the key is always 0. */
export function renderIpcache(rows: readonly IpcacheRow[]): string {
  return formatTable(
    ['IP PREFIX/ADDRESS', 'IDENTITY'],
    rows.map((row) => [
      row.prefix,
      `identity=${row.identity} encryptkey=0 tunnelendpoint=${row.tunnelEndpoint} ` +
        `flags=${row.flags.length === 0 ? '<none>' : row.flags.join(',')}` +
        (row.clusterId === 0 ? '' : ` cluster=${row.cluster ?? row.clusterId}`),
    ]),
  )
}

export function renderSourceRanges(rows: readonly SourceRangeRow[]): string {
  return formatTable(
    ['SERVICE ADDRESS', 'ID', 'SOURCE RANGE'],
    rows.map((row) => [row.address === '' ? '-' : row.address, String(row.id), row.prefix]),
  )
}

export function renderMetrics(rows: readonly MetricRow[]): string {
  return formatTable(
    ['REASON', 'DIRECTION', 'PACKETS', 'BYTES'],
    rows.map((row) => [row.reason, row.direction, String(row.packets), String(row.bytes)]),
  )
}
