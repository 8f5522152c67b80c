import type { Clock } from '../../agent/lib/clock.ts'
import type { MapShape } from '../../agent/maps/codec.ts'
import type { Snapshot } from '../../agent/desired/snapshot.ts'
import type { MutableTables } from '../../agent/state/tables.ts'
import type { Address } from '../../agent/types/address.ts'
import type { BackendSet, Endpoint } from '../../agent/types/backend.ts'
import type { Frontend } from '../../agent/types/frontend.ts'
import type { Algorithm, Service } from '../../agent/types/service.ts'
import type { MappedArray } from '../../native/index.ts'
import { maglevTable, parseMaglevSeed } from '../../agent/desired/maglev.ts'
import { DEFAULT_MAGLEV_SEED } from '../../agent/types/maglev.ts'
import { BACKEND_MAP } from '../../agent/maps/backend.ts'
import { REVNAT_MAP } from '../../agent/maps/revnat.ts'
import { SERVICE_MAP } from '../../agent/maps/service.ts'
import { SOURCE_RANGE_MAP } from '../../agent/maps/source-range.ts'
import { SLOT_MAP } from '../../agent/maps/slot.ts'
import { GRACE_MS, IdPool } from '../../agent/state/ids.ts'
import { Regions } from '../../agent/state/regions.ts'
import { LbTarget } from '../../agent/targets/lb/target.ts'
import { serviceName } from '../../agent/types/service.ts'
import { BpfMap } from '../../native/index.ts'
import { serviceRow as bareServiceRow } from '../rows.ts'

export const CLUSTER = 'west'
export const NODE = 'node-1'
/** Addresses of services, backends: far from those that benchmarks use themselves. */
const SERVICE_BASE = 0x0a640000
const BACKEND_BASE = 0x0a800000
const PORTS = [{ name: 'http', protocol: 6, port: 8080 }] as const

/** The load-balancer maps of a kernel. */
export type LbKernelMaps = Readonly<Record<'services' | 'slots' | 'backends' | 'reverse' | 'ranges', BpfMap>>

/** New maps as the shipped objects declare them. */
export function createLbMaps(): LbKernelMaps {
  return lbMaps((shape) => BpfMap.create(shape))
}

/** Those of somebody who has them by their C names. */
export function lbMapsOf(maps: Readonly<Record<string, BpfMap>>): LbKernelMaps {
  return lbMaps(({ name }) => maps[name]!)
}

function lbMaps(find: (shape: MapShape) => BpfMap): LbKernelMaps {
  return {
    services: find(SERVICE_MAP),
    slots: find(SLOT_MAP),
    backends: find(BACKEND_MAP),
    reverse: find(REVNAT_MAP),
    ranges: find(SOURCE_RANGE_MAP),
  }
}

/** The agent's target over these maps, with its own Maglev. */
export class Balancer {
  readonly target: LbTarget
  readonly #views: readonly MappedArray[]

  constructor(maps: LbKernelMaps, clock: Clock) {
    const [slots, backends, reverse] = [maps.slots.mmap(0), maps.backends.mmap(), maps.reverse.mmap()]
    const seed = parseMaglevSeed(DEFAULT_MAGLEV_SEED).table
    this.#views = [slots, backends, reverse]
    this.target = new LbTarget({
      maps: { services: maps.services, slots, backends, reverse, ranges: maps.ranges },
      serviceIds: new IdPool({ capacity: reverse.count - 1, what: 'service id', clock }),
      backendIds: new IdPool({ capacity: backends.count - 1, what: 'backend id', clock }),
      regions: new Regions({ size: slots.count, what: 'slots', clock }),
      maglev: (list, size) => maglevTable(list, size, seed),
      clock,
      graceMs: GRACE_MS,
    })
  }

  async set(frontends: readonly Frontend[]): Promise<void> {
    const failures = await this.target.set(frontends.map((each) => [each.id, each]))
    for (const error of failures.values()) throw error
  }

  close(): void {
    this.target.close()
    for (const view of this.#views) view.close()
  }
}

/** Rows as sources make them: `count` cluster-IP services of `backends` endpoints each. */
export function rows(count: number, backends: number): { services: Service[]; sets: BackendSet[] } {
  const services = Array.from({ length: count }, (_, n) => serviceRow(n))
  return { services, sets: services.map((service, n) => backendRow(service, n, backends)) }
}

export function backendRow(service: Service, n: number, backends: number): BackendSet {
  const endpoints = Array.from({ length: backends }, (_, i) => endpoint(BACKEND_BASE + n * backends + i))
  return {
    key: `${CLUSTER}/${service.name}/slice`,
    service: service.name,
    cluster: CLUSTER,
    endpoints,
    origin: 'bench',
  }
}

export function endpoint(address: number): Endpoint {
  return { address: address as Address, ports: PORTS, condition: 'ready', nodeName: NODE, zone: undefined, weight: 100 }
}

export function serviceRow(n: number, over: Partial<Service> = {}): Service {
  return bareServiceRow({
    name: serviceName('bench', `service-${n}`),
    clusterIPs: [(SERVICE_BASE + n) as Address],
    ports: [{ name: 'http', protocol: 6, port: 80, targetPort: 8080, nodePort: undefined }],
    origin: 'bench',
    ...over,
  })
}

export function snapshotOf(
  tables: MutableTables,
  algorithm: Algorithm = 'random',
  nodes: readonly Address[] = [],
): Snapshot {
  return {
    tables,
    local: { clusterName: CLUSTER, clusterId: 1, nodeName: NODE, nodeAddresses: nodes },
    lb: {
      algorithm,
      mode: 'snat',
      dsrRemoteClusters: 'advertised',
      maglevSize: 16381,
      nodePortRange: { first: 30000, last: 32767 },
    },
    isSynced: () => true,
    restored: () => [],
  }
}
