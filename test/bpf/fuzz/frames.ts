import type { FlowTuple } from '../../../agent/maps/flow.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import { build, type IcmpSpec, type PacketSpec } from '../packet.ts'
import { NODE, NODE_MAC, POD, POD_GATEWAY_MAC, POD_MAC, ROUTER_MAC } from '../world.ts'
import { turned } from './model/flows.ts'
import type { Hook } from './model/outcome.ts'
import type { Flow, State } from './model/state.ts'
import type { Rng } from './rng.ts'
import type { Scene } from './scene.ts'

const CLIENTS = ['192.0.2.10', '192.0.2.10', '192.0.2.11', '203.0.113.5', '172.18.0.3', '172.18.0.44', NODE, POD]
const ODD_CLIENTS = ['127.0.0.1', '224.0.0.9', '0.1.2.3', '255.255.255.255', '10.8.0.9', '10.2.0.7']
const CLIENT_PORTS = [40000, 40000, 40001, 40002, 40008, 6081, 1024, 32767, 32768, 65535, 0]
const TCP_FLAGS = ['S', 'S', 'S', 'A', 'A', 'AP', 'SA', 'FA', 'FA', 'R', 'RA', 'SF', 'SR', '', 'FR', 'F']
const TTLS = [64, 64, 64, 64, 64, 64, 255, 2, 1, 0]
const LENGTHS = [0, 0, 1, 4, 7, 40, 500]
const DATAGRAMS = [1, 2, 3]
const ERRORS = [
  [3, 4],
  [3, 3],
  [3, 1],
  [11, 0],
  [12, 0],
  [5, 1],
] as const

/** A frame before it is damaged, and where it enters. */
export interface Draft {
  readonly spec: PacketSpec
  readonly hook: Hook
}

/** Towards a service, an answer, an echo, an error about a flow, or a fragment of any of them. */
export function draft(rng: Rng, scene: Scene, state: State): Draft {
  const flows = [...state.flows.values()]
  const known = flows.length > 0 && rng.chance(0.6) ? rng.pick(flows) : undefined
  const kind = rng.below(100)
  if (kind < 12) return error(rng, scene, known)
  if (kind < 15) return enter(rng, { ...echo(rng, scene), ...common(rng) }, undefined)
  const ends = known === undefined ? request(rng, scene) : ofFlow(known.key)
  const spec = { ...ends, ...common(rng), flags: rng.pick(TCP_FLAGS) }
  return enter(rng, rng.chance(0.12) ? fragmented(rng, spec) : spec, known)
}

function enter(rng: Rng, spec: PacketSpec, known: Flow | undefined): Draft {
  const answersHere = known?.reverse === true && known.here ? rng.chance(0.85) : rng.chance(0.08)
  if (!answersHere) {
    return { spec: { ...spec, smac: ROUTER_MAC, dmac: NODE_MAC }, hook: rng.chance(0.5) ? 'ingress' : 'xdp' }
  }
  if (rng.chance(0.5)) return { spec: { ...spec, smac: NODE_MAC, dmac: ROUTER_MAC }, hook: 'egress' }
  return { spec: { ...spec, smac: POD_MAC, dmac: POD_GATEWAY_MAC }, hook: 'pod' }
}

function protocolName(protocol: number): 'tcp' | 'udp' {
  return protocol === 6 ? 'tcp' : 'udp'
}

function ofFlow(tuple: FlowTuple & { readonly protocol: number }): PacketSpec {
  return {
    src: formatAddress(tuple.source),
    dst: formatAddress(tuple.destination),
    sport: tuple.sourcePort,
    dport: tuple.destinationPort,
    proto: protocolName(tuple.protocol),
  }
}

function request(rng: Rng, scene: Scene): PacketSpec {
  const service = rng.pick(scene.services)
  const meant = rng.chance(0.9)
  return {
    src: rng.pick(rng.chance(0.06) ? ODD_CLIENTS : CLIENTS),
    dst: rng.chance(0.95) ? service.address : rng.pick([NODE, POD, '198.51.100.99']),
    sport: rng.pick(CLIENT_PORTS),
    dport: meant ? (service.port ?? 80) : rng.pick([80, 22, 40000, 40001, 6081]),
    proto: (service.protocol === 17) === meant ? 'udp' : 'tcp',
  }
}

function echo(rng: Rng, scene: Scene): PacketSpec {
  const icmp: IcmpSpec = { type: rng.pick([8, 0, 13]), id: rng.pick(CLIENT_PORTS) }
  return { src: rng.pick(CLIENTS), dst: rng.pick(scene.services).address, proto: 'icmp', icmp }
}

/** About a packet as it left for who reports now; or about one that nobody sent. */
function error(rng: Rng, scene: Scene, known: Flow | undefined): Draft {
  const [type, code] = rng.pick(ERRORS)
  const asked = known === undefined ? request(rng, scene) : ofFlow(turned(known.key, known.key.protocol))
  const quote: PacketSpec = { ...asked, ...common(rng), flags: rng.pick(TCP_FLAGS) }
  const bytes = rng.pick([0, 4, 8, 8, 16, 18, 20, 28])
  const icmp: IcmpSpec = { type, code, quote, quoteBytes: bytes, mtu: 1400 }
  const reporter = rng.chance(0.5) ? quote.dst : rng.pick(['203.0.113.1', '172.18.0.3'])
  return enter(rng, { ...common(rng), src: reporter, dst: quote.src, proto: 'icmp', icmp }, known)
}

function fragmented(rng: Rng, spec: PacketSpec): PacketSpec {
  const id = rng.pick(DATAGRAMS)
  const places = [
    { offset: 0, more: true },
    { offset: 0, more: true },
    { offset: 185, more: true },
    { offset: 370, more: false },
    { offset: 1, more: true },
    { offset: 8191, more: false },
  ]
  return { ...spec, id, fragment: rng.pick(places) }
}

function common(rng: Rng): Partial<PacketSpec> {
  const length = rng.chance(0.02) ? 1380 + rng.below(320) : rng.pick(LENGTHS)
  return {
    ttl: rng.pick(TTLS),
    tos: rng.chance(0.1) ? rng.below(256) : 0,
    payload: Buffer.alloc(length, rng.below(256)),
    options: rng.chance(0.1) ? 4 * (1 + rng.below(10)) : 0,
    noChecksum: rng.chance(0.1),
    id: rng.below(65536),
  }
}

export function frameOf({ spec }: Draft): Buffer {
  return build(spec)
}
