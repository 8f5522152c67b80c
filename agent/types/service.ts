import type { Address, Cidr } from './address.ts'
import type { Problem } from './problem.ts'

/** `namespace/name`: how a service is named in tables, keys and output. */
export type ServiceName = string & { readonly __name: 'service' }

export function serviceName(namespace: string, name: string): ServiceName {
  return `${namespace}/${name}` as ServiceName
}

/** IANA protocol number: 6 TCP, 17 UDP, 132 SCTP. */
export type Protocol = 6 | 17 | 132

export const PROTOCOL_NAMES: Readonly<Record<Protocol, 'TCP' | 'UDP' | 'SCTP'>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' }

/** `TCP`; a number that has no name here stays a number. */
export function protocolName(protocol: number): string {
  return PROTOCOL_NAMES[protocol as Protocol] ?? (protocol === 1 ? 'ICMP' : String(protocol))
}

export function parseProtocol(text: string): Protocol | undefined {
  return ({ TCP: 6, UDP: 17, SCTP: 132 } as const)[text.toUpperCase() as 'TCP' | 'UDP' | 'SCTP']
}

export interface ServicePort {
  /** Empty string for the only, unnamed port. */
  readonly name: string
  readonly protocol: Protocol
  readonly port: number
  /** Number, or the name of a container port. */
  readonly targetPort: number | string
  readonly nodePort: number | undefined
}

/** Which clusters' backends are preferred; `none` also stands for the values `default` and absent. */
export type Affinity = 'none' | 'local' | 'remote'

/** What the mesh annotations of a service say, aliases and letter case resolved. */
export interface MeshIntent {
  readonly global: boolean
  /** Export our backends to other clusters. Meaningless unless `global`. */
  readonly shared: boolean
  readonly affinity: Affinity
}

export type ServiceType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName'
export type TrafficPolicy = 'Cluster' | 'Local'
export type Algorithm = 'random' | 'maglev'
/** How a flow from outside gets to a backend on another node: from the node's address, or encapsulated as it came. */
export type Forwarding = 'snat' | 'dsr'
/** Whether source ranges name who is let in, or who is kept out. */
export type SourceRangePolicy = 'allow' | 'deny'

/** A Service of the own cluster, as the datapath and the mesh need it. */
export interface Service {
  readonly name: ServiceName
  readonly type: ServiceType
  /** Empty for headless services. */
  readonly clusterIPs: readonly Address[]
  readonly externalIPs: readonly Address[]
  readonly loadBalancerIPs: readonly Address[]
  readonly ports: readonly ServicePort[]
  readonly selector: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly mesh: MeshIntent
  readonly externalTrafficPolicy: TrafficPolicy
  readonly internalTrafficPolicy: TrafficPolicy
  /** ClientIP affinity in seconds; 0 is off. */
  readonly sessionAffinitySeconds: number
  readonly sourceRanges: readonly Cidr[]
  readonly sourceRangePolicy: SourceRangePolicy
  readonly healthCheckNodePort: number | undefined
  /** Per-service override of the configured algorithm. */
  readonly algorithm: Algorithm | undefined
  /** Per-service override of the configured mode, for all its protocols. */
  readonly forwarding: Forwarding | undefined
  /** Problems found while reading the object (unknown annotation values); the object works all the same. */
  readonly problems: readonly Problem[]
  /** Where it came from, for people: `services.yaml:12` or `cluster`. */
  readonly origin: string
}
