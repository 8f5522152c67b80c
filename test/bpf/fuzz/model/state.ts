import type { FlowKeyFields, FlowTuple } from '../../../../agent/maps/flow.ts'
import type { Address, Cidr } from '../../../../agent/types/address.ts'

/*
 * What the packet walk knows, as docs/DATAPATH.md tells it: configuration, what the agent writes, and what the walk itself
 * remembers. Times are whole seconds.
 */

export interface Settings {
  /** The node's source address. */
  readonly snat: Address
  readonly portMin: number
  readonly portMax: number
}

export interface Service {
  readonly id: number
  readonly flags: ReadonlySet<string>
  readonly affinitySeconds: number
  readonly backends: readonly number[]
  readonly maglev: readonly number[] | undefined
}

export interface Backend {
  readonly address: Address
  readonly port: number
  readonly active: boolean
}

/** One of the two entries of a flow: the packet as it comes, as it goes, and where the connection stands. */
export interface Flow {
  readonly key: FlowKeyFields
  to: FlowTuple
  serviceId: number
  backendId: number
  /** For answers. */
  reverse: boolean
  /** The backend is elsewhere and sees this node; or it is here and sees the client. */
  here: boolean
  established: boolean
  /** FIN of who sends packets of this entry, and of the other side. */
  finSelf: boolean
  finTwin: boolean
  reset: boolean
  expires: number
  last: number
  created: number
}

export interface Affinity {
  last: number
  backendId: number
}

export interface SourceRange {
  readonly serviceId: number
  readonly range: Cidr
}

export interface State {
  readonly settings: Settings
  readonly services: Map<string, Service>
  readonly backends: Map<number, Backend>
  readonly ranges: SourceRange[]
  /** Addresses that live on this node. */
  readonly endpoints: Set<number>
  readonly flows: Map<string, Flow>
  /** Ports of datagrams in fragments. */
  readonly fragments: Map<string, { sport: number; dport: number }>
  /** By client and service. */
  readonly affinities: Map<string, Affinity>
}

export function newState(settings: Settings): State {
  return {
    settings,
    services: new Map(),
    backends: new Map(),
    ranges: [],
    endpoints: new Set(),
    flows: new Map(),
    fragments: new Map(),
    affinities: new Map(),
  }
}

export function serviceName(address: number, port: number, protocol: number): string {
  return `${address}:${port}/${protocol}`
}

export function flowName(key: FlowKeyFields): string {
  return `${key.protocol} ${key.source}:${key.sourcePort}>${key.destination}:${key.destinationPort}`
}

export function affinityName(client: number, serviceId: number): string {
  return `${client} ${serviceId}`
}
