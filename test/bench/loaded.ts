import type { Address } from '../../agent/types/address.ts'
import type { Service } from '../../agent/types/service.ts'
import type { BpfMap, RodataValue } from '../../native/index.ts'
import { desiredFrontends } from '../../agent/desired/frontends.ts'
import { systemClock } from '../../agent/lib/clock.ts'
import { encoded } from '../../agent/maps/codec.ts'
import { ENDPOINT_MAP, endpointKey, endpointValue } from '../../agent/maps/endpoint.ts'
import { IPCACHE_MAP, ipcacheKey, ipcacheValue } from '../../agent/maps/ipcache.ts'
import { RUNTIME_MAP, setSoleAddress } from '../../agent/maps/runtime.ts'
import { SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import { parseAddress } from '../../agent/types/address.ts'
import { BpfObject } from '../../native/index.ts'
import { built } from './place.ts'
import { backendRow, Balancer, lbMapsOf, serviceRow, snapshotOf } from './world.ts'

/** The node's own address in programs that are only run on packets. */
export const SNAT = '192.168.7.1'
const DSR_NODE = '192.168.7.2'

/** Where backends are: on this node, on others, or on one that takes packets in Geneve. */
export type Place = 'here' | 'elsewhere' | 'dsr'

export interface LoadedService {
  readonly service: string
  readonly algorithm: Service['algorithm']
  readonly backends: number
  readonly at: Place
}

/** One set of maps, and objects of this folder over them, whose programs run on packets without any device. */
export class Loaded {
  readonly #file: string
  readonly #maxEntries: Readonly<Record<string, number>>
  readonly #objects: BpfObject[] = []
  readonly #maps: Record<string, BpfMap> = {}
  readonly #balancer: Balancer

  constructor(file: string, maxEntries: Readonly<Record<string, number>> = {}) {
    this.#file = file
    this.#maxEntries = maxEntries
    const first = this.#load({}, {})
    for (const name of first.mapNames) if (name.startsWith('w_')) this.#maps[name] = first.map(name)
    // As an agent with one uplink.
    using runtime = this.#maps[RUNTIME_MAP.name]!.mmap()
    setSoleAddress(runtime.u32, address(SNAT))
    this.#balancer = new Balancer(lbMapsOf(this.#maps), systemClock)
  }

  async addService(each: LoadedService, n: number): Promise<void> {
    const tables = createTables()
    const writer = new Writer(tables, new SyncGates())
    const service = serviceRow(n, {
      type: 'LoadBalancer',
      clusterIPs: [address('10.98.0.1')],
      loadBalancerIPs: [address(each.service)],
      algorithm: each.algorithm,
      forwarding: each.at === 'dsr' ? 'dsr' : undefined,
    })
    const set = backendRow(service, n, 100)
    const endpoints = set.endpoints.slice(0, each.backends)
    writer.upsertService(service)
    writer.upsertBackends({ ...set, endpoints })
    const { frontends } = desiredFrontends(snapshotOf(tables), service.name)
    await this.#balancer.set(frontends.filter((frontend) => frontend.type === 'LoadBalancer'))
    for (const { address: pod } of endpoints) this.#place(pod, each.at)
  }

  #place(pod: Address, at: Place): void {
    if (at === 'here') {
      const value = encoded(endpointValue, { identity: 0, isHost: false })
      this.#maps[ENDPOINT_MAP.name]!.update(encoded(endpointKey, pod), value)
    }
    if (at !== 'dsr') return
    const node = address(DSR_NODE)
    const common = { identity: 0, clusterId: 0, remoteCluster: false }
    const entries = [
      { prefix: node, value: { ...common, tunnel: undefined, isNode: true, takesDsr: true } },
      { prefix: pod, value: { ...common, tunnel: node, isNode: false, takesDsr: false } },
    ]
    for (const { prefix, value } of entries) {
      const key = encoded(ipcacheKey, { address: prefix, bits: 32 })
      this.#maps[IPCACHE_MAP.name]!.update(key, encoded(ipcacheValue, value))
    }
  }

  /** The object set up for one packet; with `ownFlows`, its flow tables are its own. */
  open(of: { packet: Buffer; rodata?: Readonly<Record<string, RodataValue>>; ownFlows: boolean }): BpfObject {
    const { packet } = of
    const rodata = {
      cfg_test_ifindex: 1,
      cfg_snat_addr: networkOrder(address(SNAT)),
      bench_saddr: packet.readUInt32LE(26),
      bench_daddr: packet.readUInt32LE(30),
      bench_sport: packet.readUInt16LE(34),
      bench_dport: packet.readUInt16LE(36),
      bench_ip_check: packet.readUInt16LE(24),
      bench_l4_check: packet.readUInt16LE(50),
      bench_ttl: packet[22]!,
      ...of.rodata,
    }
    const shared = Object.entries(this.#maps).filter(([name]) => !of.ownFlows || !name.startsWith('w_flow4'))
    return this.#load(rodata, Object.fromEntries(shared))
  }

  #load(rodata: Readonly<Record<string, RodataValue>>, reuseMaps: Readonly<Record<string, BpfMap>>): BpfObject {
    const object = BpfObject.open(built(this.#file), { rodata, reuseMaps, maxEntries: this.#maxEntries }).load()
    this.#objects.push(object)
    return object
  }

  [Symbol.dispose](): void {
    this.#balancer.close()
    for (const map of Object.values(this.#maps)) map.close()
    for (const object of this.#objects) {
      for (const name of object.programNames) object.program(name).close()
      object.close()
    }
  }
}

export function address(text: string): Address {
  return parseAddress(text)!
}

function networkOrder(value: number): number {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes.readUInt32LE()
}
