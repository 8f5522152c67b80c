import type { BackendRow, IpcacheRow, ServiceRow } from '../../agent/cli/bpf/format.ts'
import type { Clock } from '../../agent/lib/clock.ts'
import type { RouteEntry } from '../../agent/types/datapath.ts'
import type { CaseConfig } from './format.ts'
import type { OpenTargets, Place } from './place.ts'
import { openLoadBalancer } from '../../agent/run/load-balancer.ts'
import { readIpcache } from '../../agent/cli/bpf/read-ipcache.ts'
import { readBackends, readServices } from '../../agent/cli/bpf/read-services.ts'
import { BACKEND_MAP } from '../../agent/maps/backend.ts'
import { ENDPOINT_MAP, endpointKey } from '../../agent/maps/endpoint.ts'
import { IPCACHE_MAP, ipcacheKey } from '../../agent/maps/ipcache.ts'
import { REVNAT_MAP } from '../../agent/maps/revnat.ts'
import { SERVICE_MAP } from '../../agent/maps/service.ts'
import { SOURCE_RANGE_MAP } from '../../agent/maps/source-range.ts'
import { SLOT_MAP } from '../../agent/maps/slot.ts'
import { EndpointTarget } from '../../agent/targets/endpoints.ts'
import { IpcacheTarget } from '../../agent/targets/ipcache.ts'
import { encodeKey, KEY_BYTES, parseFrontendId } from '../../agent/targets/lb/element.ts'
import { parseAddress, parseCidr } from '../../agent/types/address.ts'
import { BpfMap } from '../../native/index.ts'
import { MemoryTarget } from '../compliance/memory-target.ts'

/** The maps of the datapath in the kernel, without programs: what is seen is what `weft bpf …` reads from them. */
export class KernelPlace implements Place {
  readonly #maps: Readonly<Record<string, BpfMap>>
  /** Routes have a test of their own, in a network namespace. */
  readonly #routes = new Map<string, RouteEntry>()

  constructor(sizes: CaseConfig['mapSizes']) {
    const { services = 256, slots = 8192, backends = 1024, ipcache = 256 } = sizes
    const shapes = [
      { ...SERVICE_MAP, maxEntries: services },
      { ...REVNAT_MAP, maxEntries: services + 1 },
      { ...SLOT_MAP, maxEntries: slots },
      { ...BACKEND_MAP, maxEntries: backends + 1 },
      { ...IPCACHE_MAP, maxEntries: ipcache },
      { ...ENDPOINT_MAP, maxEntries: 256 },
      { ...SOURCE_RANGE_MAP, maxEntries: 256 },
    ]
    this.#maps = Object.fromEntries(shapes.map((shape) => [shape.name, BpfMap.create(shape)]))
  }

  async open(clock: Clock): Promise<OpenTargets> {
    const lb = openLoadBalancer(this.#maps, clock)
    return {
      found: await lb.load(),
      targets: {
        lb,
        endpoints: new EndpointTarget(this.#map(ENDPOINT_MAP.name)),
        ipcache: new IpcacheTarget(this.#map(IPCACHE_MAP.name)),
        routes: new MemoryTarget(this.#routes, (a, b) => a.via === b.via),
      },
      idOf: (frontend) => lb.idOf(frontend),
      close: () => lb.close(),
    }
  }

  services(): ServiceRow[] {
    return readServices((name) => this.#map(name))
  }

  backends(): BackendRow[] {
    return readBackends((name) => this.#map(name))
  }

  ipcache(): IpcacheRow[] {
    return readIpcache((name) => this.#map(name))
  }

  routes(): ReadonlyMap<string, RouteEntry> {
    return this.#routes
  }

  tamper(kind: 'services' | 'ipcache' | 'endpoints', keys: readonly string[]): void {
    const [map, encode] = {
      services: [SERVICE_MAP, frontendKey],
      ipcache: [IPCACHE_MAP, (text: string) => encoded(ipcacheKey, parseCidr(text)!)],
      endpoints: [ENDPOINT_MAP, (text: string) => encoded(endpointKey, parseAddress(text)!)],
    }[kind] as [{ name: string }, (text: string) => Buffer]
    for (const key of keys) {
      if (this.#map(map.name).deleteBatch(encode(key), 1) !== 1) throw new Error(`${key} is not in ${map.name}`)
    }
  }

  close(): void {
    for (const map of Object.values(this.#maps)) map.close()
  }

  #map(name: string): BpfMap {
    return this.#maps[name]!
  }
}

function frontendKey(id: string): Buffer {
  const key = Buffer.alloc(KEY_BYTES)
  encodeKey(key, 0, parseFrontendId(id)!)
  return key
}

function encoded<T>(codec: { size: number; encode(value: T, buffer: Buffer): void }, value: T): Buffer {
  const buffer = Buffer.alloc(codec.size)
  codec.encode(value, buffer)
  return buffer
}
