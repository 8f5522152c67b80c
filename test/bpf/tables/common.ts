import { SVC_FLAGS } from '../../../agent/maps/service.ts'
import type { BackendSpec, ServiceSpec } from '../maps.ts'
import { NODE, NODE_MAC, PEER_MAC, POD, POD_GATEWAY_MAC, POD_MAC, ROUTER_MAC } from '../world.ts'
import type { PacketSpec } from '../packet.ts'

/** A client outside the cluster, behind the router. */
export const CLIENT = '192.0.2.10'
export const VIP = '198.51.100.80'
export const VIP2 = '198.51.100.81'
/** Backends on other nodes, behind a known neighbour. */
export const REMOTE = '10.1.0.190'
export const REMOTE2 = '10.1.1.41'

export const UDP = 17

export const LOCAL_BACKEND: BackendSpec = { id: 1, address: POD }
export const REMOTE_BACKEND: BackendSpec = { id: 2, address: REMOTE }
export const REMOTE_BACKEND2: BackendSpec = { id: 3, address: REMOTE2 }

export const toLocal: ServiceSpec = { id: 1, address: VIP, backends: [1] }
export const toRemote: ServiceSpec = { id: 1, address: VIP, backends: [2] }

export const request: PacketSpec = { src: CLIENT, dst: VIP }

/** What a packet to a backend on another node becomes on its way. */
export const toPeer = { src: NODE, dst: REMOTE, dport: 8080, ttl: 63, smac: NODE_MAC, dmac: PEER_MAC } as const
/** The same for a packet to the client. */
export const toRouter = { ttl: 63, smac: NODE_MAC, dmac: ROUTER_MAC } as const

/** An answer of the remote backend, and what the client gets. */
export const reply: PacketSpec = { src: REMOTE, dst: NODE, sport: 8080, dport: 40000, flags: 'SA', smac: PEER_MAC }
export const replied = { src: VIP, dst: CLIENT, sport: 80, dport: 40000, ...toRouter } as const

/** An answer of the local backend as it leaves by the uplink, routed already; and straight from the pod. */
export const localReply: PacketSpec = { src: POD, dst: CLIENT, sport: 8080, dport: 40000, flags: 'SA' }
export const podReply: PacketSpec = { ...localReply, smac: POD_MAC, dmac: POD_GATEWAY_MAC }

export type FlagName = keyof typeof SVC_FLAGS
