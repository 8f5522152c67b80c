import type { Address, Cidr } from './address.ts'

/** Reserved numeric identities (Cilium's numbers; they are on the wire and in the ipcache). */
export const RESERVED = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  remoteNode: 6,
  kubeApiserver: 7,
  ingress: 8,
} as const

/** Allocated identities of cluster N: N·65536 … N·65536+65535. */
export function identityRange(clusterId: number): { first: number; last: number } {
  return { first: clusterId * 65536, last: clusterId * 65536 + 65535 }
}

/** A security identity: number and sorted `source:key=value` labels. */
export interface Identity {
  readonly id: number
  readonly cluster: string
  readonly labels: readonly string[]
}

/** Which identity an address has, and which node it is reached through. */
export interface IpEntry {
  /** `cluster/prefix`. */
  readonly key: string
  readonly cluster: string
  readonly prefix: Cidr
  readonly identity: number
  /** The node to encapsulate to; undefined when unknown. */
  readonly hostAddress: Address | undefined
  readonly namespace: string | undefined
  readonly podName: string | undefined
}

/** What one cluster says about a prefix. */
export type IpClaim = Pick<IpEntry, 'cluster' | 'identity' | 'hostAddress'>

/** An IpEntry before it is a row: numbers, and names as parts of `bytes`. */
export interface IpFields {
  readonly address: number
  readonly bits: number
  readonly identity: number
  /** -1 when unknown. */
  readonly host: number
  readonly bytes: Uint8Array
  readonly namespaceAt: number
  readonly namespaceEnd: number
  readonly podAt: number
  readonly podEnd: number
}
