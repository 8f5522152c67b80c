import type { FlowKeyFields, FlowTuple } from '../../../../agent/maps/flow.ts'
import type { Address, Cidr } from '../../../../agent/types/address.ts'

/*
 * What the packet walk knows, as docs/DATAPATH.md tells it: configuration, what the agent writes, and what the walk itself
 * remembers. Times are whole seconds.
 */

export interface Settings {
  /** The node's source address at the start. */
  readonly snat: Address
  readonly portMin: number
  readonly portMax: number
  /** Pods go out with the node's address. */
  readonly masquerade: boolean
  /** Each encapsulated packet of TCP says which service was asked. */
  readonly tellAlways: boolean
}

export interface Service {
  readonly id: number
  readonly flags: ReadonlySet<string>
  readonly affinitySeconds: number
  readonly backends: readonly number[]
  readonly maglev: readonly number[] | undefined
  readonly dsr: boolean
}

export interface Backend {
  readonly address: Address
  readonly port: number
  readonly active: boolean
}

/**
 * How a flow goes: `snat`, with the node's address to a backend elsewhere; `local`, to one here; `dsr`, to one elsewhere whose
 * node answers; `masquerade`, from a pod to the world; `inside`, from a client here; `hairpin`, from a pod to itself; `direct`,
 * from the world to a pod, unchanged.
 */
export type FlowKind = 'snat' | 'local' | 'dsr' | 'masquerade' | 'inside' | 'hairpin' | 'direct'

/** One of the two entries of a flow: the packet as it comes, as it goes, and where the connection stands. */
export interface Flow {
  readonly key: FlowKeyFields
  /** Of `dsr`: with the backend's node in place of the source, which stays. */
  to: FlowTuple
  serviceId: number
  /** 0: another node chose it. */
  backendId: number
  kind: FlowKind
  /** For answers. */
  reverse: boolean
  /** `dsr`: each packet says which service was asked. */
  tells: boolean
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

/** What is known of addresses elsewhere: that it is a node, or the node that has them, or who they are. */
export interface Prefix {
  readonly range: Cidr
  readonly identity: number
  readonly tunnel: Address | undefined
  readonly isNode: boolean
  readonly takesDsr: boolean
}

export type DeviceName = 'up0' | 'up2' | 'pod0'

export interface Device {
  readonly address: Address
  /** XDP may send by it. */
  readonly xdp: boolean
}

export interface State {
  readonly settings: Settings
  readonly services: Map<string, Service>
  readonly backends: Map<number, Backend>
  readonly ranges: SourceRange[]
  /** Addresses that live on this node, pods' and its own. */
  readonly endpoints: Map<number, 'pod' | 'node'>
  readonly prefixes: Prefix[]
  /** Destinations that pods go to with their own address. */
  readonly unmasqueraded: Cidr[]
  readonly devices: Map<DeviceName, Device>
  /** The node's address now; 0: nothing is known of devices. */
  mainAddress: Address
  /** The route decides about the address. */
  severalUplinks: boolean
  readonly flows: Map<string, Flow>
  /** Ports of datagrams in fragments. */
  readonly fragments: Map<string, { sport: number; dport: number }>
  /** By client and service. */
  readonly affinities: Map<string, Affinity>
  /** Until when there is a flow of a client on this node. */
  clientsHereUntil: number
}

export function newState(settings: Settings): State {
  return {
    settings,
    services: new Map(),
    backends: new Map(),
    ranges: [],
    endpoints: new Map(),
    prefixes: [],
    unmasqueraded: [],
    devices: new Map(),
    mainAddress: 0 as Address,
    severalUplinks: false,
    flows: new Map(),
    fragments: new Map(),
    affinities: new Map(),
    clientsHereUntil: 0,
  }
}

export type Scope = 'outside' | 'inside'

export function serviceName(address: number, port: number, protocol: number, scope: Scope = 'outside'): string {
  return `${address}:${port}/${protocol} ${scope}`
}

export function flowName(key: FlowKeyFields): string {
  return `${key.protocol} ${key.source}:${key.sourcePort}>${key.destination}:${key.destinationPort}`
}

export function affinityName(client: number, serviceId: number): string {
  return `${client} ${serviceId}`
}

export function contains({ address, bits }: Cidr, other: Address): boolean {
  return bits === 0 || (address ^ other) >>> (32 - bits) === 0
}

/** One of the node's own. */
export function isOwn(state: State, address: Address): boolean {
  return address === state.settings.snat || state.endpoints.get(address) === 'node'
}

export function prefixOf(state: State, address: Address): Prefix | undefined {
  let best: Prefix | undefined
  for (const prefix of state.prefixes) {
    if (contains(prefix.range, address) && (best === undefined || prefix.range.bits > best.range.bits)) best = prefix
  }
  return best
}
