import type { Address, Cidr } from './address.ts'
import type { Condition } from './backend.ts'
import type { Algorithm, Forwarding, Protocol, ServiceName } from './service.ts'
import { formatAddress } from './address.ts'
import { PROTOCOL_NAMES } from './service.ts'

/**
 * Why a backend does or does not take new connections of a frontend. One enum for the map writer, `explain`, BGP, health
 * checks and metrics: two views of "usable" cannot arise.
 */
export const REASONS = [
  'selected',
  'not-global',
  'not-shared',
  'no-local-service',
  'port-name-mismatch',
  'affinity-hides',
  'tier-hides',
  'cluster-unreachable',
  'cluster-not-synced',
  'not-ready',
  'terminating',
  'unhealthy',
  'traffic-policy-local',
  'map-full',
] as const
export type Reason = (typeof REASONS)[number]

/** The answer for one backend of one service port. */
export interface BackendDecision {
  readonly address: Address
  readonly port: number
  readonly protocol: Protocol
  readonly cluster: string
  readonly clusterId: number
  readonly nodeName: string | undefined
  readonly zone: string | undefined
  readonly condition: Condition
  /** Takes new connections. */
  readonly selected: boolean
  /** Shown as `(preferred)`: of a service with an affinity, what new connections go to now, failed over or not. */
  readonly preferred: boolean
  readonly weight: number
  /** 0 is the preferred tier; a higher one is used only when all lower ones are empty. */
  readonly tier: number
  readonly reason: Reason
}

/** Backend states as the datapath knows them. */
export type SlotState = 'active' | 'terminating' | 'quarantined' | 'maintenance'

/** A backend as it stands in the maps. */
export interface SlotBackend {
  readonly address: Address
  readonly port: number
  readonly protocol: Protocol
  readonly state: SlotState
  readonly clusterId: number
  readonly weight: number
}

/**
 * The backends of one service port under one traffic-policy view. Frontends with the same view share the object, and so
 * one region of slots and one Maglev table in the kernel.
 */
export interface BackendGroup {
  /**
   * Selectable backends first, sorted by address, port (so restarts write nothing); then `kept` ones: alive, not selected,
   * but their flows go on.
   */
  readonly slots: readonly SlotBackend[]
  /** How many of `slots`, from the start, take new connections. */
  readonly count: number
  /** One per backend that any cluster shows for the service port, selected or not. Empty when read back from a map. */
  readonly decisions: readonly BackendDecision[]
}

/** `Wildcard`: refuses whatever no frontend of the address is for. */
export type FrontendType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalIP' | 'HostPort' | 'Wildcard'
/** `ext`: what outside clients see, and inside ones unless `int` exists. */
export type Scope = 'ext' | 'int'

/** One address, port and protocol a service answers on. */
export interface Frontend {
  /** `10.2.47.149:80/TCP`, with `/i` appended for scope `int`: key of reconciliation, and how commands print it. */
  readonly id: string
  readonly address: Address
  readonly port: number
  readonly protocol: Protocol
  readonly scope: Scope
  /** Of a HostPort the pod's name. Empty when read back from a map, which does not hold names. */
  readonly service: ServiceName | ''
  readonly type: FrontendType
  /** Bits of `SVC_FLAGS` in maps/service.ts. */
  readonly flags: number
  readonly algorithm: Algorithm
  readonly forwarding: Forwarding
  /** 0 without ClientIP affinity. */
  readonly affinitySeconds: number
  /** Entries of the Maglev table; 0 when none is wanted. A function of configuration and backend set alone, equal on all nodes. */
  readonly maglevSize: number
  /** Clients that count where `flags` say that they are checked; by address, each once. Undefined: none. */
  readonly sourceRanges?: readonly Cidr[] | undefined
  readonly group: BackendGroup
}

/** The `id` of a frontend. */
export function frontendId(address: Address, port: number, protocol: Protocol, scope: Scope): string {
  // Only a Wildcard has port 0, whatever protocol it says.
  return `${formatAddress(address)}:${port}/${port === 0 ? 'ANY' : PROTOCOL_NAMES[protocol]}${scope === 'int' ? '/i' : ''}`
}
