import type { Clock } from '../../../agent/lib/clock.ts'
import type { BackendGroup, Frontend, SlotBackend } from '../../../agent/types/frontend.ts'
import type { Address } from '../../../agent/types/address.ts'
import { IdPool } from '../../../agent/state/ids.ts'
import { Regions } from '../../../agent/state/regions.ts'
import { SOURCE_RANGE_MAP } from '../../../agent/maps/source-range.ts'
import { LbTarget } from '../../../agent/targets/lb/target.ts'
import { frontendId } from '../../../agent/types/frontend.ts'
import { BpfMap, MapFlag, type MappedArray, MapType } from '../../../native/index.ts'

export const GRACE = 2000

/** The maps, in the kernel, and as many targets over them as a test wants. */
export class LbFixture {
  readonly services: BpfMap
  readonly ranges: BpfMap
  /** Services of which the target said that their clients changed, in that order. */
  readonly rangesChanged: number[] = []
  readonly arrays: { slots: BpfMap; backends: BpfMap; reverse: BpfMap }
  readonly views: { slots: MappedArray; backends: MappedArray; reverse: MappedArray }
  readonly #targets: LbTarget[] = []

  constructor(sizes: { services?: number; slots?: number; backends?: number; ranges?: number } = {}) {
    const { services = 1024, slots = 65536, backends = 4096, ranges = 64 } = sizes
    const array = (name: string, valueSize: number, maxEntries: number): BpfMap =>
      BpfMap.create({ type: MapType.ARRAY, name, keySize: 4, valueSize, maxEntries, flags: MapFlag.MMAPABLE })
    this.services = BpfMap.create({
      type: MapType.HASH,
      name: 'w_svc4_t',
      keySize: 12,
      valueSize: 36,
      maxEntries: services,
      flags: MapFlag.NO_PREALLOC,
    })
    this.ranges = BpfMap.create({ ...SOURCE_RANGE_MAP, name: 'w_srcr4_t', maxEntries: ranges })
    this.arrays = {
      slots: array('w_slot_t', 4, slots),
      backends: array('w_be4_t', 16, backends),
      reverse: array('w_rnat4_t', 8, services + 16),
    }
    this.views = {
      slots: this.arrays.slots.mmap(),
      backends: this.arrays.backends.mmap(),
      reverse: this.arrays.reverse.mmap(),
    }
  }

  /** A target as a new process would make it. */
  target(clock: Clock): LbTarget {
    const { slots, backends, reverse } = this.views
    const target = new LbTarget({
      maps: { services: this.services, slots, backends, reverse, ranges: this.ranges },
      serviceIds: new IdPool({ capacity: reverse.count - 1, what: 'service id', clock }),
      backendIds: new IdPool({ capacity: backends.count - 1, what: 'backend id', clock }),
      regions: new Regions({ size: slots.count, what: 'slots', clock }),
      maglev: roundRobin,
      clock,
      graceMs: GRACE,
      onRangesChanged: ({ serviceId }) => void this.rangesChanged.push(serviceId),
    })
    this.#targets.push(target)
    return target
  }

  /** Backend id → `state` byte, of every element that is not zero. */
  backendStates(): Map<string, number> {
    const states = new Map<string, number>()
    for (let id = 1; id < this.views.backends.count; id++) {
      const element = this.views.backends.at(id)
      if (element[7] === 0) continue
      states.set(`${[...element.subarray(0, 4)].join('.')}:${element.readUInt16BE(4)}`, element[7]!)
    }
    return states
  }

  close(): void {
    for (const target of this.#targets) target.close()
    for (const view of Object.values(this.views)) view.close()
    for (const map of [this.services, this.ranges, ...Object.values(this.arrays)]) map.close()
  }
}

/** A table with even shares, or by weight when the weights differ: what is tested here is how tables are kept, not how they are made. */
export function roundRobin(slots: readonly SlotBackend[], size: number): Uint32Array {
  const turns = slots.flatMap((slot, i) => new Array<number>(Math.max(1, Math.round(slot.weight / 100))).fill(i))
  return Uint32Array.from({ length: size }, (_, i) => turns[i % turns.length]!)
}

export function backend(n: number, over: Partial<SlotBackend> = {}): SlotBackend {
  return {
    address: (0x0a000000 + n) as Address,
    port: 8080,
    protocol: 6,
    state: 'active',
    clusterId: 1,
    weight: 100,
    ...over,
  }
}

export function groupOf(slots: readonly SlotBackend[], count = slots.length): BackendGroup {
  return { slots, count, decisions: [] }
}

export function frontend(n: number, group: BackendGroup, over: Partial<Frontend> = {}): Frontend {
  const address = (0x0a020000 + n) as Address
  return {
    id: frontendId(address, 80, 6, 'ext'),
    address,
    port: 80,
    protocol: 6,
    scope: 'ext',
    service: '',
    type: 'ClusterIP',
    flags: 1 << 14,
    algorithm: 'random',
    affinitySeconds: 0,
    forwarding: 'snat',
    maglevSize: 0,
    group,
    ...over,
  }
}

export const entry = (f: Frontend): [string, Frontend] => [f.id, f]
