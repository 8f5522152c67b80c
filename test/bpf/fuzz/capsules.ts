import type { GeneveSpec, PacketSpec } from '../packet.ts'
import { NODE, NODE2, POD } from '../world.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import { CLIENT_PORTS, CLIENTS, ofKey } from './ends.ts'
import { mirrored } from './model/flows.ts'
import type { Flow } from './model/state.ts'
import { at, type Draft } from './places.ts'
import type { Rng } from './rng.ts'
import { PEERS, type Scene } from './scene.ts'

const BACKENDS_HERE = [
  [POD, 8080],
  [POD, 8080],
  [POD, 80],
  [NODE, 8081],
  ['10.1.0.190', 8080],
] as const

/** Options as they stand in a packet: unknown ones of each length, one of another kind in our class, one too long for itself. */
function options(rng: Rng): Buffer {
  const one = (): Buffer => {
    const words = rng.pick([0, 1, 2, 3, 5, 31])
    const head = rng.pick(['ffff01', '014b02', '014b81', '010280', '014b01'])
    const says = rng.chance(0.06) ? 31 : words | (rng.chance(0.1) ? 0xe0 : 0)
    return Buffer.concat([Buffer.from(head, 'hex'), Buffer.from([says]), Buffer.alloc(words * 4, rng.below(256))])
  }
  return Buffer.concat(Array.from({ length: rng.below(4) }, one))
}

/** What another node sends here: for a backend, with the service that its client asked or without. */
export function encapsulated(
  rng: Rng,
  scene: Scene,
  known: Flow | undefined,
  complete: (ends: PacketSpec) => PacketSpec,
): Draft {
  const flow = known?.kind === 'local' ? (known.reverse ? mirrored(known) : known) : undefined
  const protocol = flow?.key.protocol ?? rng.pick([6, 17])
  const [dst, dport] = rng.pick(BACKENDS_HERE)
  const fresh = { src: rng.pick(CLIENTS), dst, sport: rng.pick(CLIENT_PORTS), dport }
  const ends: PacketSpec =
    flow === undefined ? { ...fresh, proto: protocol === 6 ? 'tcp' : 'udp' } : ofKey({ ...flow.to, protocol })
  const service = rng.pick(scene.services)
  const same =
    flow === undefined ? undefined : { address: formatAddress(flow.key.destination), port: flow.key.destinationPort }
  const told = same !== undefined && rng.chance(0.8) ? same : { address: service.address, port: service.port ?? 80 }
  const geneve: GeneveSpec = {
    src: rng.pick(rng.chance(0.95) ? PEERS : ['192.0.2.66', NODE]),
    dst: rng.chance(0.8) ? NODE : rng.pick([NODE2, '172.18.0.77']),
    sport: 0xc000 + rng.below(4),
    ...(rng.chance(0.6) ? { told } : {}),
    ...(rng.chance(0.3) ? { options: options(rng) } : {}),
    vni: rng.pick([2, 2, 2, 2, 9, 9, 77]),
    version: rng.chance(0.03) ? 1 + rng.below(3) : 0,
    flags: rng.pick([0, 0, 0x40, 0x80]),
    inner: rng.pick(['ethernet', 'ethernet', 'ethernet', 'ethernet', 'ip', 'ip', 0x86dd]),
    ...(rng.chance(0.05) ? { words: rng.below(64) } : {}),
    outerOptions: rng.chance(0.1) ? 4 * (1 + rng.below(10)) : 0,
    tos: rng.chance(0.1) ? rng.below(256) : 0,
  }
  const made = at(rng, rng.chance(0.85) ? 'ingress' : 'xdp', complete(ends))
  const { smac, dmac } = made.spec
  return { ...made, spec: { ...made.spec, geneve: { ...geneve, smac: smac!, dmac: dmac! } } }
}
