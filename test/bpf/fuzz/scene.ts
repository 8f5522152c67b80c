import { parseCidr } from '../../../agent/types/address.ts'
import { address } from '../packet.ts'
import type { BackendSpec, DatapathMaps, ServiceSpec } from '../maps.ts'
import { NODE, POD } from '../world.ts'
import { newState, serviceName, type Settings, type State } from './model/state.ts'
import type { Rng } from './rng.ts'

/** Services and backends as one sequence of packets finds them. */
export interface Scene {
  readonly tight: boolean
  readonly services: readonly ServiceSpec[]
  readonly backends: readonly BackendSpec[]
  readonly endpoints: readonly string[]
  readonly ranges: readonly { readonly serviceId: number; readonly range: string }[]
}

/** Here, elsewhere, behind another device, without a route, with an unknown neighbour, on the node itself, on the link. */
const BACKENDS: readonly BackendSpec[] = [
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
]
const ADDRESSES = ['198.51.100.80', '198.51.100.80', '198.51.100.81', NODE, '10.96.0.10', POD]
const PORTS = [80, 81, 443, 30080, 40001]
const FLAGS: readonly NonNullable<ServiceSpec['flags']>[] = [
  ['LB', 'ROUTABLE'],
  ['LB', 'ROUTABLE'],
  ['NODEPORT', 'ROUTABLE'],
  ['LB', 'ROUTABLE', 'AFFINITY'],
  ['LB', 'ROUTABLE', 'ETP_LOCAL'],
  ['LB', 'ROUTABLE', 'SRC_CHECK'],
  ['LB', 'ROUTABLE', 'SRC_CHECK', 'SRC_DENY'],
  ['CLUSTER_IP'],
  ['EXT_IP'],
]
const RANGES = ['192.0.2.0/24', '172.18.0.0/16', '203.0.113.5/32']
const MAGLEV_CELLS = 13

/** So few ports that they run out: every one is tried. */
export const TIGHT: Settings = { snat: address(NODE), portMin: 40000, portMax: 40001 }
export const WIDE: Settings = { snat: address(NODE), portMin: 32768, portMax: 65535 }

export function newScene(rng: Rng): Scene {
  const tight = rng.chance(0.3)
  const services = new Map<string, ServiceSpec>()
  for (let id = 1; id <= 6; id++) {
    const service = newService(rng, id, tight)
    services.set(serviceName(address(service.address), service.port ?? 0, service.protocol ?? 0), service)
  }
  for (const kept of ['198.51.100.80', NODE]) {
    if (!rng.chance(0.4)) continue
    const id = services.size + 20
    services.set(kept, { id, address: kept, port: 0, protocol: 0, flags: ['WILDCARD_DROP'], backends: [] })
  }
  const endpoints = [POD, NODE].filter(() => rng.chance(0.8))
  const states = ['ACTIVE', 'ACTIVE', 'ACTIVE', 'TERMINATING'] as const
  const backends = BACKENDS.map((backend) => ({ ...backend, state: rng.pick(states) }))
  const ranges = [...services.values()].flatMap(({ id: serviceId, flags = [] }) =>
    flags.includes('SRC_CHECK') ? [{ serviceId, range: rng.pick(RANGES) }] : [],
  )
  return { tight, ranges, services: [...services.values()], backends, endpoints }
}

/** Where ports run out, nobody chooses at random: what the program cannot show must be known. */
function newService(rng: Rng, id: number, tight: boolean): ServiceSpec {
  const pool = Array.from({ length: rng.below(4) }, () => 1 + rng.below(BACKENDS.length + 1))
  const backends = tight ? pool.slice(0, 1) : pool
  const flags = rng.pick(FLAGS)
  const table = pool.length > 0 && rng.chance(0.5)
  return {
    id,
    address: rng.pick(ADDRESSES),
    port: rng.pick(PORTS),
    protocol: rng.chance(0.6) ? 6 : 17,
    flags,
    backends,
    ...(table && backends.length > 0
      ? { maglev: Array.from({ length: MAGLEV_CELLS }, () => rng.pick(tight ? pool : backends)) }
      : {}),
    affinitySeconds: flags.includes('AFFINITY') ? 30 : 0,
  }
}

export function writeScene(scene: Scene, maps: DatapathMaps): void {
  maps.clear()
  scene.backends.forEach((backend) => maps.addBackend(backend))
  scene.services.forEach((service) => maps.addService(service))
  scene.endpoints.forEach((endpoint) => maps.addEndpoint(endpoint))
  scene.ranges.forEach(({ serviceId, range }) => maps.addSourceRange(serviceId, range))
}

export function modelOf(scene: Scene): State {
  const state = newState(scene.tight ? TIGHT : WIDE)
  scene.backends.forEach((backend) => modelBackend(state, backend))
  scene.services.forEach((service) => modelService(state, service))
  scene.endpoints.forEach((endpoint) => state.endpoints.add(address(endpoint)))
  for (const { serviceId, range } of scene.ranges) {
    const parsed = parseCidr(range)
    if (parsed === undefined) throw new Error(`not a range: ${range}`)
    state.ranges.push({ serviceId, range: parsed })
  }
  return state
}

export function modelBackend(state: State, spec: BackendSpec): void {
  const { id, port = 8080 } = spec
  state.backends.set(id, { address: address(spec.address), port, active: (spec.state ?? 'ACTIVE') === 'ACTIVE' })
}

export function modelService(state: State, spec: ServiceSpec): void {
  const { id, port = 80, protocol = 6, flags = [], backends, maglev, affinitySeconds = 0 } = spec
  const service = { id, flags: new Set<string>(flags), backends, maglev, affinitySeconds }
  state.services.set(serviceName(address(spec.address), port, protocol), service)
}
