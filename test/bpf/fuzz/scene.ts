import type { BackendSpec, DeviceSpec, PrefixSpec, ServiceSpec } from '../maps.ts'
import { address } from '../packet.ts'
import { NODE, NODE2, POD } from '../world.ts'
import { serviceName } from './model/state.ts'
import { type Profile, PROFILES } from './profiles.ts'
import type { Rng } from './rng.ts'

/** Services, backends and all else that one sequence of packets finds. */
export interface Scene {
  readonly profile: Profile
  /** Much of what comes is encapsulated. */
  readonly ofPeers: boolean
  readonly services: readonly ServiceSpec[]
  readonly backends: readonly BackendSpec[]
  readonly pods: readonly string[]
  readonly ownAddresses: readonly string[]
  readonly ranges: readonly { readonly serviceId: number; readonly range: string }[]
  readonly prefixes: readonly PrefixSpec[]
  readonly unmasqueraded: readonly string[]
  readonly devices: readonly DeviceSpec[]
}

/** Here, elsewhere, behind another device, without a route, with an unknown neighbour, on the node itself, on the link, far. */
export const BACKENDS: readonly BackendSpec[] = [
  { id: 1, address: POD },
  { id: 2, address: '10.1.0.190' },
  { id: 3, address: '10.1.1.41' },
  { id: 4, address: '10.1.0.190', port: 9090 },
  { id: 5, address: '10.2.0.7' },
  { id: 6, address: '10.8.0.7' },
  { id: 7, address: '10.9.0.7' },
  { id: 8, address: NODE, port: 8081 },
  { id: 9, address: '172.18.0.3', port: 80 },
  { id: 10, address: POD, port: 80 },
  { id: 11, address: '10.7.0.7' },
]
const ADDRESSES = ['198.51.100.80', '198.51.100.80', '198.51.100.81', NODE, NODE2, '10.96.0.10', '10.96.0.10', POD]
const PORTS = [80, 81, 443, 30080, 40001]
const FLAGS: readonly NonNullable<ServiceSpec['flags']>[] = [
  ['LB', 'ROUTABLE'],
  ['LB', 'ROUTABLE'],
  ['NODEPORT', 'ROUTABLE'],
  ['LB', 'ROUTABLE', 'AFFINITY'],
  ['LB', 'ROUTABLE', 'ETP_LOCAL'],
  ['LB', 'ROUTABLE', 'TWO_SCOPES', 'ETP_LOCAL'],
  ['LB', 'ROUTABLE', 'TWO_SCOPES', 'ITP_LOCAL'],
  ['LB', 'ROUTABLE', 'SRC_CHECK'],
  ['LB', 'ROUTABLE', 'SRC_CHECK', 'SRC_DENY'],
  ['HOSTPORT', 'ROUTABLE'],
  ['HOSTPORT', 'HOSTPORT_LOOPBACK'],
  ['CLUSTER_IP'],
  ['CLUSTER_IP'],
  ['CLUSTER_IP', 'AFFINITY'],
  ['CLUSTER_IP', 'ITP_LOCAL'],
  ['EXT_IP'],
  ['EXT_IP', 'ROUTABLE'],
]
const RANGES = ['192.0.2.0/24', '172.18.0.0/16', '203.0.113.5/32', '10.0.0.0/24']
const MAGLEV_CELLS = 13
const LOCAL_SCOPE = 1 << 24

/** Peers: by a known neighbour, behind the second uplink, by one that is to be asked for, without a route. */
export const PEERS = ['172.18.0.3', '172.19.0.9', '172.18.0.9', '10.8.0.1'] as const
const PODS_OF_PEERS = ['10.1.0.0/16', '10.2.0.0/16', '10.9.0.0/16', '10.8.0.0/16', '10.7.0.0/16']

export function newScene(rng: Rng): Scene {
  const profile = rng.pick(PROFILES)
  const services = new Map<string, ServiceSpec>()
  for (let id = 1; id <= 7; id++) {
    const service = newService(rng, id, profile.tight)
    services.set(nameOf(service), service)
    if (service.flags?.includes('TWO_SCOPES') !== true || rng.chance(0.2)) continue
    const inside: ServiceSpec = { ...newService(rng, id + 10, profile.tight), ...endsOf(service), scope: 'INT' }
    services.set(nameOf(inside), inside)
  }
  for (const kept of ['198.51.100.80', NODE, NODE2]) {
    if (!rng.chance(0.3)) continue
    const id = services.size + 20
    services.set(kept, { id, address: kept, port: 0, protocol: 0, flags: ['WILDCARD_DROP'], backends: [] })
  }
  const states = ['ACTIVE', 'ACTIVE', 'ACTIVE', 'TERMINATING'] as const
  return {
    profile,
    ofPeers: rng.chance(0.2),
    services: [...services.values()],
    backends: BACKENDS.map((backend) => ({ ...backend, state: rng.pick(states) })),
    pods: [POD].filter(() => rng.chance(0.85)),
    ownAddresses: [NODE, NODE2].filter(() => rng.chance(0.85)),
    ranges: [...services.values()].flatMap(({ id: serviceId, flags = [] }) =>
      flags.includes('SRC_CHECK') ? [{ serviceId, range: rng.pick(RANGES) }] : [],
    ),
    prefixes: newPrefixes(rng),
    unmasqueraded:
      profile.masquerade && rng.chance(0.3) ? [rng.pick(['203.0.113.0/24', '192.0.2.10/32', '0.0.0.0/1'])] : [],
    devices: newDevices(rng),
  }
}

function endsOf({ address: vip, port, protocol }: ServiceSpec): Partial<ServiceSpec> {
  return { address: vip, ...(port === undefined ? {} : { port }), ...(protocol === undefined ? {} : { protocol }) }
}

function nameOf({ address: vip, port = 0, protocol = 0, scope = 'EXT' }: ServiceSpec): string {
  return serviceName(address(vip), port, protocol, scope === 'EXT' ? 'outside' : 'inside')
}

/** Nodes, mostly, of which some take DSR; pods by prefix or one by one, some of a cluster without tunnels; names for the world. */
function newPrefixes(rng: Rng): Scene['prefixes'] {
  const nodes = PEERS.filter(() => rng.chance(0.8)).map((peer) => {
    const [isNode, takesDsr] = [rng.chance(0.9), rng.chance(0.85)]
    return { prefix: `${peer}/32`, isNode, takesDsr, identity: rng.pick([6, 6, 2]) }
  })
  const pods = PODS_OF_PEERS.filter(() => rng.chance(0.7)).map((prefix) => ({
    prefix,
    ...(rng.chance(0.85) ? { tunnel: rng.pick(PEERS) } : {}),
    identity: rng.pick([2, 4711, LOCAL_SCOPE + 7]),
  }))
  const others = ['10.1.0.190/32', '192.0.2.0/24', '203.0.113.5/32', '0.0.0.0/0']
    .filter(() => rng.chance(0.2))
    .map((prefix) => ({
      prefix,
      ...(prefix.startsWith('10.') ? { tunnel: rng.pick(PEERS) } : {}),
      identity: rng.pick([2, LOCAL_SCOPE + 9, 1, 6, 256]),
    }))
  return [...nodes, ...pods, ...others]
}

/** Nothing is known of devices; one address for all; one that is another by now; two, for XDP or not. */
function newDevices(rng: Rng): DeviceSpec[] {
  const kind = rng.below(10)
  if (kind < 2) return []
  if (kind < 5) {
    const own = kind < 4 ? NODE : '172.18.0.77'
    return (['all', 'sole'] as const)
      .filter((name) => name === 'all' || rng.chance(0.7))
      .map((name) => ({ name, address: own }))
  }
  return [
    { name: 'all', address: NODE, several: true },
    { name: 'up0', address: NODE, xdp: rng.chance(0.8) },
    { name: 'up2', address: rng.chance(0.85) ? NODE2 : '0.0.0.0', xdp: rng.chance(0.6) },
  ]
}

/** Where ports run out, nobody chooses at random: what the program cannot show must be known. */
function newService(rng: Rng, id: number, tight: boolean): ServiceSpec {
  const pool = Array.from({ length: rng.below(4) }, () => 1 + rng.below(BACKENDS.length + 1))
  const backends = tight ? pool.slice(0, 1) : pool
  const flags = rng.pick(FLAGS)
  const table = pool.length > 0 && rng.chance(0.5)
  return {
    id,
    address: flags.includes('CLUSTER_IP') && rng.chance(0.7) ? '10.96.0.10' : rng.pick(ADDRESSES),
    port: rng.pick(PORTS),
    protocol: rng.chance(0.6) ? 6 : 17,
    flags,
    backends,
    ...(table && backends.length > 0
      ? { maglev: Array.from({ length: MAGLEV_CELLS }, () => rng.pick(tight ? pool : backends)) }
      : {}),
    affinitySeconds: flags.includes('AFFINITY') ? 30 : 0,
    forward: rng.chance(0.4) ? 'DSR' : 'SNAT',
  }
}
