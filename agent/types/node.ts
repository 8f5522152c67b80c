import type { Address, Cidr } from './address.ts'
import type { Protocol } from './service.ts'

/** A node of the own or of a connected cluster. */
export interface Node {
  /** `cluster/name`. */
  readonly key: string
  readonly cluster: string
  readonly name: string
  /** The address other nodes reach it at: InternalIP, else ExternalIP, else the first. */
  readonly address: Address
  readonly addresses: readonly { readonly type: string; readonly address: Address }[]
  readonly podCidrs: readonly Cidr[]
  readonly labels: Readonly<Record<string, string>>
  readonly zone: string | undefined
  /** It is about to be removed: load balancers in front of the cluster are to leave it. Absent: it is not. */
  readonly leaving?: true
  /** Said by a remote cluster whose nodes take packets by DSR. */
  readonly takesDsr?: boolean
  readonly origin: string
}

/** A pod of the own cluster. */
export interface Pod {
  /** `namespace/name`. */
  readonly key: string
  readonly namespace: string
  readonly name: string
  readonly address: Address | undefined
  readonly nodeName: string | undefined
  readonly hostNetwork: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly serviceAccount: string
  readonly ready: boolean
  readonly terminating: boolean
  readonly namedPorts: readonly { readonly name: string; readonly protocol: number; readonly port: number }[]
  /** Ports of its node that lead to it. */
  readonly hostPorts: readonly HostPort[]
  readonly origin: string
}

export interface HostPort {
  /** The only address of the node that has it; undefined: all of them. */
  readonly hostIp: Address | undefined
  readonly protocol: Protocol
  readonly hostPort: number
  readonly containerPort: number
}
