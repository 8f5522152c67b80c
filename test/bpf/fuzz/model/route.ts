import type { Address } from '../../../../agent/types/address.ts'
import type { DeviceName, State } from './state.ts'
import { address } from '../../packet.ts'
import {
  NODE,
  NODE2,
  NODE2_MAC,
  NODE_MAC,
  PEER2_MAC,
  PEER_MAC,
  POD,
  POD_GATEWAY_MAC,
  POD_MAC,
  ROUTER_MAC,
} from '../../world.ts'

/** What the node's routing table says, as the namespace of test/bpf/world.ts is set up. */
export type Route =
  | {
      readonly kind: 'known'
      readonly device: DeviceName
      readonly mtu: number
      readonly from: Buffer
      readonly to: Buffer
    }
  /** Its neighbour's MAC address is not known. */
  | { readonly kind: 'asking'; readonly device: DeviceName; readonly mtu: number }
  | { readonly kind: 'none' }

const MTU = 1500

const NONE = { kind: 'none' } as const

function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex')
}

function known(device: DeviceName, from: string, to: string, mtu = MTU): Route {
  return { kind: 'known', device, mtu, from: mac(from), to: mac(to) }
}

function asking(device: DeviceName): Route {
  return { kind: 'asking', device, mtu: MTU }
}

function prefix(text: string, bits: number, route: Route): readonly [network: number, shift: number, route: Route] {
  return [address(text) >>> (32 - bits), 32 - bits, route]
}

const viaRouter = known('up0', NODE_MAC, ROUTER_MAC)
const viaPeer = known('up0', NODE_MAC, PEER_MAC)
const viaPeer2 = known('up2', NODE2_MAC, PEER2_MAC)

/** Longest first. */
const ROUTES = [
  prefix(NODE, 32, NONE),
  prefix(NODE2, 32, NONE),
  prefix('172.18.0.255', 32, NONE),
  prefix('172.19.0.255', 32, NONE),
  prefix('172.18.0.1', 32, viaRouter),
  prefix('172.18.0.3', 32, viaPeer),
  prefix('172.19.0.9', 32, viaPeer2),
  prefix(POD, 32, known('pod0', POD_GATEWAY_MAC, POD_MAC)),
  prefix('172.18.0.0', 24, asking('up0')),
  prefix('172.19.0.0', 24, asking('up2')),
  prefix('10.1.0.0', 16, viaPeer),
  prefix('10.2.0.0', 16, viaPeer2),
  prefix('10.7.0.0', 16, known('up0', NODE_MAC, PEER_MAC, 1400)),
  prefix('10.8.0.0', 16, NONE),
  prefix('10.9.0.0', 16, asking('up0')),
  prefix('127.0.0.0', 8, NONE),
]

export function route(destination: Address): Route {
  return ROUTES.find(([network, shift]) => destination >>> shift === network)?.[2] ?? viaRouter
}

/** The node's address towards a backend elsewhere. */
export function sourceTowards(state: State, destination: Address): Address {
  if (!state.severalUplinks) return state.mainAddress || state.settings.snat
  const way = route(destination)
  return way.kind === 'none' ? state.mainAddress : addressOn(state, way.device)
}

/** The node's address on a device. */
export function addressOn(state: State, device: DeviceName): Address {
  return state.devices.get(device)?.address || state.mainAddress || state.settings.snat
}
