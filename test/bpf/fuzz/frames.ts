import { build, type IcmpSpec, type PacketSpec } from '../packet.ts'
import { NODE, NODE2, POD } from '../world.ts'
import { encapsulated } from './capsules.ts'
import { CLIENT_PORTS, CLIENTS, ofKey } from './ends.ts'
import { turned } from './model/flows.ts'
import type { Flow, State } from './model/state.ts'
import { at, type Draft, placed } from './places.ts'
import type { Rng } from './rng.ts'
import type { Scene } from './scene.ts'

const ODD_CLIENTS = ['127.0.0.1', '224.0.0.9', '0.1.2.3', '255.255.255.255', '10.8.0.9', '10.2.0.7', '10.7.0.9', NODE2]
const TCP_FLAGS = ['S', 'S', 'S', 'A', 'A', 'AP', 'SA', 'FA', 'FA', 'R', 'RA', 'SF', 'SR', '', 'FR', 'F']
const TTLS = [64, 64, 64, 64, 64, 64, 255, 2, 1, 0]
const LENGTHS = [0, 0, 1, 4, 7, 40, 500]
const DATAGRAMS = [1, 2, 3]
/** Far from here, and other nodes and pods. */
const WORLD = ['203.0.113.5', '203.0.113.9', '192.0.2.10', '10.1.0.190', '10.2.0.7', '172.18.0.3', '8.8.8.8', '0.0.0.0']
const WORLD_PORTS = [443, 53, 8080, 40000, 40001]
const ERRORS = [
  [3, 4],
  [3, 3],
  [3, 1],
  [11, 0],
  [12, 0],
  [5, 1],
] as const

/**
 * Towards a service, by who is outside, a pod or the node; between a pod and the world; an answer, an echo, an error about a
 * flow; a fragment of any of them; or any of them from another node, encapsulated.
 */
export function draft(rng: Rng, scene: Scene, state: State): Draft {
  const flows = [...state.flows.values()]
  const known = flows.length > 0 && rng.chance(0.6) ? rng.pick(flows) : undefined
  if (rng.chance(scene.ofPeers ? 0.4 : 0.07)) return encapsulated(rng, scene, known, (from) => plain(rng, from))
  if (rng.chance(0.11)) return error(rng, scene, known)
  if (rng.chance(0.03)) return placed(rng, { ...echo(rng, scene), ...common(rng) }, undefined)
  const kind = rng.below(100)
  if (known !== undefined) return placed(rng, plain(rng, ofKey(known.key)), known)
  if (kind < 24) return at(rng, rng.chance(0.85) ? 'pod' : 'egress', plain(rng, { ...request(rng, scene), src: POD }))
  if (kind < 32) return at(rng, 'egress', plain(rng, { ...request(rng, scene), src: rng.pick([NODE, NODE2]) }))
  if (kind < 50) return at(rng, rng.chance(0.9) ? 'egress' : 'pod', plain(rng, worldwards(rng)))
  if (kind < 57) return at(rng, rng.chance(0.5) ? 'ingress' : 'xdp', plain(rng, podwards(rng)))
  return placed(rng, plain(rng, request(rng, scene)), undefined)
}

/** With all that does not say between whom it is; a fragment now and then. */
function plain(rng: Rng, ends: PacketSpec): PacketSpec {
  const spec = { ...ends, ...common(rng), flags: rng.pick(TCP_FLAGS) }
  return rng.chance(0.12) ? fragmented(rng, spec) : spec
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

function worldwards(rng: Rng): PacketSpec {
  const [dst, id] = [rng.pick(WORLD), rng.pick(CLIENT_PORTS)]
  const proto = rng.pick(['tcp', 'tcp', 'udp', 'udp', 'icmp', 'sctp'] as const)
  const icmp: IcmpSpec = { type: rng.pick([8, 8, 8, 0, 13]), id }
  return { src: POD, dst, sport: id, dport: rng.pick(WORLD_PORTS), proto, icmp }
}

function podwards(rng: Rng): PacketSpec {
  const proto = rng.pick(['tcp', 'udp'] as const)
  return { src: rng.pick(WORLD), dst: POD, sport: rng.pick(WORLD_PORTS), dport: rng.pick([8080, 80, 40000]), proto }
}

function echo(rng: Rng, scene: Scene): PacketSpec {
  const icmp: IcmpSpec = { type: rng.pick([8, 0, 13]), id: rng.pick(CLIENT_PORTS) }
  return { src: rng.pick(CLIENTS), dst: rng.pick(scene.services).address, proto: 'icmp', icmp }
}

/** About a packet as it left for who reports now; or about one that nobody sent. */
function error(rng: Rng, scene: Scene, known: Flow | undefined): Draft {
  const [type, code] = rng.pick(ERRORS)
  const asked = known === undefined ? request(rng, scene) : ofKey(turned(known.key, known.key.protocol))
  const quote: PacketSpec = { ...asked, ...common(rng), flags: rng.pick(TCP_FLAGS) }
  const bytes = rng.pick([0, 4, 8, 8, 16, 18, 20, 28])
  const icmp: IcmpSpec = { type, code, quote, quoteBytes: bytes, mtu: 1400 }
  const reporter = rng.chance(0.5) ? quote.dst : rng.pick(['203.0.113.1', '172.18.0.3'])
  const spec: PacketSpec = { ...common(rng), src: reporter, dst: quote.src, proto: 'icmp', icmp }
  if (!rng.chance(0.1)) return placed(rng, spec, known)
  return encapsulated(rng, scene, known, () => spec)
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
  const length = rng.chance(0.03) ? 1280 + rng.below(420) : rng.pick(LENGTHS)
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
