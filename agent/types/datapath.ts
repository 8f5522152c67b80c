import type { Address, Cidr } from './address.ts'

/** What the datapath knows about a prefix: whose it is and through which node it is reached. */
export interface IpcacheEntry {
  readonly prefix: Cidr
  readonly identity: number
  /** Node to encapsulate to; undefined for none. */
  readonly tunnel: Address | undefined
  readonly clusterId: number
  readonly remoteCluster: boolean
  readonly isNode: boolean
  /** A node whose agent takes packets for its backends by DSR. */
  readonly takesDsr: boolean
}

/** An address that lives on this node. */
export interface EndpointEntry {
  readonly address: Address
  readonly identity: number
  /** An address of the node itself, not of a pod. */
  readonly isHost: boolean
}

/** A destination that pods go to with their own addresses. */
export interface MasqueradeEntry {
  readonly prefix: Cidr
}

/** A direct route to a node's pods. */
export interface RouteEntry {
  readonly prefix: Cidr
  readonly via: Address
}
