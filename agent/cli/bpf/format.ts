import { protocolName } from '../../types/service.ts'

/** What `weft bpf …` prints: rows read from pinned maps, in plain values. */
export interface BackendRow {
  readonly id: number
  /** `10.0.0.46:80/TCP` */
  readonly address: string
  readonly protocol: string
  readonly ip: string
  readonly state: string
  readonly clusterId: number
  readonly zone: number
}

export interface SlotRow {
  readonly backendId: number
  /** Undefined when the slot names an id that no backend has. */
  readonly address: string | undefined
  /** Kept for its flows, takes no new ones. */
  readonly quarantined: boolean
}

export interface ServiceRow {
  readonly id: number
  /** `10.2.47.149:80/TCP`, with `/i` for the view of the node's own sockets. */
  readonly address: string
  readonly flags: readonly string[]
  readonly algorithm: string
  readonly forwarding: string
  readonly affinitySeconds: number
  readonly maglevSize: number
  readonly slots: readonly SlotRow[]
  /** Merged over all clusters; absent when no agent told. */
  readonly global?: boolean
}

export interface RevNatRow {
  readonly id: number
  readonly address: string
}

export interface MaglevRow {
  readonly id: number
  readonly address: string
  readonly size: number
  readonly backends: readonly { readonly id: number; readonly address: string | undefined; readonly slots: number }[]
}

export interface FlowRow {
  readonly protocol: string
  readonly direction: 'forward' | 'reverse'
  readonly source: string
  readonly destination: string
  readonly newSource: string
  readonly newDestination: string
  readonly serviceId: number
  readonly backendId: number
  readonly flags: readonly string[]
  /** Seconds until it is over; not above 0 when it is, and only waits for its entry to be taken. */
  readonly expiresIn: number
}

export interface IpcacheRow {
  readonly prefix: string
  readonly identity: number
  readonly clusterId: number
  /** Name of that cluster, when an agent told. */
  readonly cluster?: string
  readonly tunnelEndpoint: string
  readonly flags: readonly string[]
}

export interface SourceRangeRow {
  readonly id: number
  /** Of the service; empty where none has this id. */
  readonly address: string
  readonly prefix: string
}

export interface MetricRow {
  readonly reason: string
  readonly direction: string
  readonly packets: number
  readonly bytes: number
}

/** Of a service or a backend: 0 stands for all protocols. */
export function protocolOrAny(protocol: number): string {
  return protocol === 0 ? 'ANY' : protocolName(protocol)
}

export function hostPort(address: string, port: number, protocol: number): string {
  return `${address}:${port}/${protocolOrAny(protocol)}`
}

/** `MAGLEV` → `maglev`; a number this version does not know stays a number. */
export function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const name = Object.keys(names).find((candidate) => names[candidate] === value)
  return name === undefined ? String(value) : name.toLowerCase().replaceAll('_', '-')
}
