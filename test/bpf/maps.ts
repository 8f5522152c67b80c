import { affinityKey, AFFINITY_MAP, affinityValue } from '../../agent/maps/affinity.ts'
import { BACKEND_MAP, BACKEND_STATES, backendKey, backendValue } from '../../agent/maps/backend.ts'
import { type Codec, encoded } from '../../agent/maps/codec.ts'
import { ALL_DEVICES, DEVICE_MAP, deviceKey, deviceValue } from '../../agent/maps/device.ts'
import { ENDPOINT_MAP, endpointKey, endpointValue } from '../../agent/maps/endpoint.ts'
import {
  FLOW_FLAGS,
  FLOW_MAPS,
  flowKey,
  type FlowKeyFields,
  flowMapOf,
  flowValue,
  type FlowTuple,
  type FlowValueFields,
} from '../../agent/maps/flow.ts'
import { MASQUERADE_MAP, masqueradeKey, masqueradeValue } from '../../agent/maps/masquerade.ts'
import { MAPS } from '../../agent/maps/layout.gen.ts'
import { decodeCounter, METRIC_DIRECTIONS, metricIndex, METRICS_MAP } from '../../agent/maps/metrics.ts'
import { DROP_REASONS } from '../../agent/maps/drop-reasons.ts'
import { REVNAT_MAP, revNatKey, revNatValue } from '../../agent/maps/revnat.ts'
import {
  SERVICE_MAP,
  serviceKey,
  serviceValue,
  SVC_ALGORITHMS,
  SVC_FLAGS,
  SVC_FORWARD,
  SVC_SCOPES,
} from '../../agent/maps/service.ts'
import { RUNTIME_MAP, setSoleAddress } from '../../agent/maps/runtime.ts'
import { SLOT_MAP, slotKey, slotValue } from '../../agent/maps/slot.ts'
import { SOURCE_RANGE_MAP, sourceRangeKey, sourceRangeValue } from '../../agent/maps/source-range.ts'
import { IPCACHE_MAP, ipcacheKey, ipcacheValue } from '../../agent/maps/ipcache.ts'
import { type Address, type Cidr, formatAddress, parseCidr } from '../../agent/types/address.ts'
import type { BpfMap } from '../../native/index.ts'
import { address } from './packet.ts'

export interface BackendSpec {
  readonly id: number
  readonly address: string
  readonly port?: number
  readonly protocol?: number
  readonly state?: keyof typeof BACKEND_STATES
}

export interface ServiceSpec {
  readonly id: number
  readonly address: string
  readonly port?: number
  readonly protocol?: number
  readonly scope?: keyof typeof SVC_SCOPES
  readonly flags?: readonly (keyof typeof SVC_FLAGS)[]
  /** Ids of selectable backends. */
  readonly backends: readonly number[]
  /** Of those that only keep the flows they have. */
  readonly kept?: readonly number[]
  readonly maglev?: readonly number[]
  readonly affinitySeconds?: number
  readonly forward?: keyof typeof SVC_FORWARD
}

/** What is known of an address elsewhere: the node it is on, or that it is one. */
export interface PrefixSpec {
  readonly prefix: string
  readonly tunnel?: string
  readonly isNode?: boolean
  readonly takesDsr?: boolean
  /** That of a node where nothing is said. */
  readonly identity?: number
}

export interface DeviceSpec {
  readonly name: string
  readonly address: string
  readonly several?: boolean
  readonly xdp?: boolean
}

/** One slot region of this many cells per service id: slots first, the Maglev table behind them. */
const REGION = 512
const MAGLEV_AT = 128

/** The maps of a loaded datapath, written and read as the agent does, one entry at a time. */
export class DatapathMaps {
  private readonly get: (name: string) => BpfMap
  private readonly indexOf: (device: string) => number
  private readonly usedBackends = new Set<number>()
  private readonly usedPrefixes = new Set<string>()

  constructor(get: (name: string) => BpfMap, indexOf: (device: string) => number = () => 0) {
    this.get = get
    this.indexOf = indexOf
  }

  clear(): void {
    for (const name of [
      SERVICE_MAP.name,
      ENDPOINT_MAP.name,
      ...FLOW_MAPS.map(({ name }) => name),
      AFFINITY_MAP.name,
      MAPS.w_frag4_v1.name,
      DEVICE_MAP.name,
      SOURCE_RANGE_MAP.name,
      MASQUERADE_MAP.name,
    ]) {
      const map = this.get(name)
      const { keys, count } = map.dump()
      map.deleteBatch(keys, count)
    }
    for (const id of this.usedBackends) this.removeBackend(id)
    for (const prefix of this.usedPrefixes) this.get(IPCACHE_MAP.name).delete(encoded(ipcacheKey, cidr(prefix)))
    this.usedPrefixes.clear()
    this.forgetClientsHere()
    this.setSole(undefined)
  }

  forgetClientsHere(): void {
    this.expectClientsHere(0)
  }

  /** Until when, in seconds. */
  expectClientsHere(until: number): void {
    this.get(MAPS.w_here_v1.name).update(encoded(slotKey, 0), encoded(slotValue, until))
  }

  clientsHereUntil(): number {
    return slotValue.decode(this.get(MAPS.w_here_v1.name).lookup(encoded(slotKey, 0)) ?? Buffer.alloc(slotValue.size))
  }

  addBackend(spec: BackendSpec): void {
    this.usedBackends.add(spec.id)
    const value = {
      address: address(spec.address),
      port: spec.port ?? 8080,
      protocol: spec.protocol ?? 6,
      state: BACKEND_STATES[spec.state ?? 'ACTIVE'],
      clusterId: 1,
      zone: 0,
      flags: 0,
      nodeAddress: address('0.0.0.0'),
    }
    this.get(BACKEND_MAP.name).update(encoded(backendKey, spec.id), encoded(backendValue, value))
  }

  /** `all`: the element that stands for all devices. `sole`: the address for which no device is asked. */
  addDevice(spec: DeviceSpec): void {
    const { name, several = false, xdp = false } = spec
    if (name === 'sole') return this.setSole(address(spec.address))
    const key = encoded(deviceKey, name === 'all' ? ALL_DEVICES : this.indexOf(name))
    this.get(DEVICE_MAP.name).update(key, encoded(deviceValue, { address: address(spec.address), several, xdp }))
  }

  private setSole(node: Address | undefined): void {
    const map = this.get(RUNTIME_MAP.name)
    const words = new Uint32Array(RUNTIME_MAP.valueSize / 4)
    const bytes = Buffer.from(words.buffer)
    bytes.set(map.lookup(encoded(slotKey, 0))!)
    setSoleAddress(words, node)
    map.update(encoded(slotKey, 0), bytes)
  }

  removeBackend(id: number): void {
    this.get(BACKEND_MAP.name).update(encoded(backendKey, id), Buffer.alloc(backendValue.size))
  }

  addService(spec: ServiceSpec): void {
    const base = spec.id * REGION
    const slots = this.get(SLOT_MAP.name)
    const kept = spec.kept ?? []
    const all = [...spec.backends, ...kept]
    all.forEach((id, i) => slots.update(encoded(slotKey, base + i), encoded(slotValue, id)))
    spec.maglev?.forEach((id, i) => slots.update(encoded(slotKey, base + MAGLEV_AT + i), encoded(slotValue, id)))
    const key = {
      address: address(spec.address),
      port: spec.port ?? 80,
      protocol: spec.protocol ?? 6,
      scope: SVC_SCOPES[spec.scope ?? 'EXT'],
    }
    const value = {
      serviceId: spec.id,
      flags: (spec.flags ?? ['LB', 'ROUTABLE']).reduce((bits, name) => bits | SVC_FLAGS[name], 0),
      affinitySeconds: spec.affinitySeconds ?? 0,
      algorithm: spec.maglev === undefined ? SVC_ALGORITHMS.RANDOM : SVC_ALGORITHMS.MAGLEV,
      forward: SVC_FORWARD[spec.forward ?? 'SNAT'],
      count: spec.backends.length,
      quarantined: kept.length,
      slotOffset: base,
      maglevOffset: spec.maglev === undefined ? 0 : base + MAGLEV_AT,
      maglevSize: spec.maglev?.length ?? 0,
    }
    const revNat = { address: key.address, port: key.port, flags: 0 }
    this.get(REVNAT_MAP.name).update(encoded(revNatKey, spec.id), encoded(revNatValue, revNat))
    this.get(SERVICE_MAP.name).update(encoded(serviceKey, key), encoded(serviceValue, value))
  }

  addEndpoint(text: string, isHost = false): void {
    this.put(ENDPOINT_MAP.name, endpointKey, address(text), endpointValue, { identity: 1, isHost })
  }

  addPrefix({ prefix, tunnel, isNode = false, takesDsr = false, identity = 6 }: PrefixSpec): void {
    this.usedPrefixes.add(prefix)
    const peer = tunnel === undefined ? undefined : address(tunnel)
    const value = { identity, clusterId: 1, remoteCluster: false, tunnel: peer, isNode, takesDsr }
    this.put(IPCACHE_MAP.name, ipcacheKey, cidr(prefix), ipcacheValue, value)
  }

  removeEndpoint(text: string): void {
    this.get(ENDPOINT_MAP.name).delete(encoded(endpointKey, address(text)))
  }

  /** Destinations that pods go to with their own address. */
  addUnmasqueraded(text: string): void {
    this.put(MASQUERADE_MAP.name, masqueradeKey, cidr(text), masqueradeValue, 0)
  }

  addIpcache(text: string, identity: number, tunnel?: string): void {
    this.usedPrefixes.add(text)
    this.put(IPCACHE_MAP.name, ipcacheKey, cidr(text), ipcacheValue, {
      ...{ identity, clusterId: 2, remoteCluster: true, isNode: false, takesDsr: false },
      tunnel: tunnel === undefined ? undefined : address(tunnel),
    })
  }

  addSourceRange(serviceId: number, text: string): void {
    this.put(SOURCE_RANGE_MAP.name, sourceRangeKey, { serviceId, range: cidr(text) }, sourceRangeValue, 0)
  }

  removeSourceRange(serviceId: number, text: string): void {
    this.get(SOURCE_RANGE_MAP.name).delete(encoded(sourceRangeKey, { serviceId, range: cidr(text) }))
  }

  put<K, V>(map: string, keyCodec: Codec<K>, key: K, valueCodec: Codec<V>, value: V): void {
    this.get(map).update(encoded(keyCodec, key), encoded(valueCodec, value))
  }

  /** All flow entries of all tables, and the table that each is in. */
  flows(): [FlowKeyFields, FlowValueFields, table: string][] {
    return FLOW_MAPS.flatMap(({ name }) =>
      [...this.get(name).entries()].map(([key, value]): [FlowKeyFields, FlowValueFields, string] => [
        flowKey.decode(key),
        flowValue.decode(value),
        name,
      ]),
    )
  }

  /** Entries that are not where the programs put such entries. */
  misplacedFlows(): string[] {
    return this.flows()
      .filter((entry) => isMisplaced(...entry))
      .map(([key, , table]) => `${tuple(key)} is in ${table}`)
  }

  /** One line per entry, sorted: `tcp A:1>B:2 => C:3>D:4 SNAT 8000s`, the last number its lifetime after the last packet. */
  flowLines(): string[] {
    return this.flows()
      .map(([key, value]) => {
        const flags = Object.entries(FLOW_FLAGS).flatMap(([name, bit]) => ((value.flags & bit) === 0 ? [] : [name]))
        const life = `${value.expires - value.last}s`
        return [key.protocol === 6 ? 'tcp' : 'udp', tuple(key), '=>', tuple(value), ...flags, life].join(' ')
      })
      .sort()
  }

  /** Change every flow entry; undefined removes it. */
  editFlows(edit: (key: FlowKeyFields, value: FlowValueFields) => FlowValueFields | undefined): void {
    for (const [key, value, table] of this.flows()) {
      const next = edit(key, value)
      if (next === undefined) this.get(table).delete(encoded(flowKey, key))
      else this.get(table).update(encoded(flowKey, key), encoded(flowValue, next))
    }
  }

  addFlow(key: FlowKeyFields, value: FlowValueFields): void {
    this.put(flowMapOf(key.protocol, value.flags).name, flowKey, key, flowValue, value)
  }

  affinities(): { client: bigint; serviceId: number; backendId: number; last: number }[] {
    return [...this.get(AFFINITY_MAP.name).entries()].map(([key, value]) => ({
      ...affinityKey.decode(key),
      ...affinityValue.decode(value),
    }))
  }

  editAffinities(edit: (last: number) => number): void {
    const map = this.get(AFFINITY_MAP.name)
    for (const [key, value] of map.entries()) {
      const old = affinityValue.decode(value)
      map.update(key, encoded(affinityValue, { ...old, last: edit(old.last) >>> 0 }))
    }
  }

  /** Packets and bytes counted over all directions, by reason name of the C enum; zero counters left out. */
  counters(): Map<string, { packets: number; bytes: number }> {
    const counted = new Map<string, { packets: number; bytes: number }>()
    const map = this.get(METRICS_MAP.name)
    for (const direction of Object.values(METRIC_DIRECTIONS)) {
      for (const [name, reason] of Object.entries(DROP_REASONS)) {
        const value = map.lookup(encoded(slotKey, metricIndex(direction, reason)))
        const counter = decodeCounter(value ?? Buffer.alloc(0))
        if (counter.packets === 0n) continue
        const known = counted.get(name) ?? { packets: 0, bytes: 0 }
        counted.set(name, {
          packets: known.packets + Number(counter.packets),
          bytes: known.bytes + Number(counter.bytes),
        })
      }
    }
    return counted
  }
}

export function isMisplaced(key: FlowKeyFields, value: FlowValueFields, table: string): boolean {
  return table !== flowMapOf(key.protocol, value.flags).name
}

function cidr(text: string): Cidr {
  const value = parseCidr(text)
  if (value === undefined) throw new Error(`not a prefix: ${text}`)
  return value
}

function tuple(flow: FlowTuple): string {
  const source = `${formatAddress(flow.source)}:${flow.sourcePort}`
  return `${source}>${formatAddress(flow.destination)}:${flow.destinationPort}`
}
