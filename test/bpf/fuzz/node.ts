import { affinityKey, AFFINITY_MAP, affinityValue } from '../../../agent/maps/affinity.ts'
import { DROP_REASONS } from '../../../agent/maps/drop-reasons.ts'
import { encoded } from '../../../agent/maps/codec.ts'
import { flowKey, type FlowKeyFields, flowMaps, type FlowTuple, flowValue } from '../../../agent/maps/flow.ts'
import {
  decodeCounter,
  METRIC_DIRECTIONS,
  metricIndex,
  metricKey,
  METRICS_MAP,
  readCounters,
} from '../../../agent/maps/metrics.ts'
import { BpfLink, type TestRun } from '../../../native/index.ts'
import { type Verdict, verdictOf } from '../run.ts'
import { type Hook, World } from '../world.ts'
import type { DeviceName } from './model/state.ts'
import { configOf, type Profile } from './profiles.ts'

const LONGEST = 3072
const SKB_BYTES = 192
const XDP_MD_BYTES = 24
const MARK_AT = 8
const REASON_NAMES = new Map<number, string>(Object.entries(DROP_REASONS).map(([name, reason]) => [reason, name]))
const EVENT_LOST = 'REASON_EVENT_LOST'

export interface Result {
  readonly verdict: Verdict
  readonly frame: Buffer
  /** Of the packet afterwards; 0 at XDP, where there is none. */
  readonly mark: number
}

/** Where a frame meets the programs. */
export interface Place {
  readonly hook: Hook
  readonly device: DeviceName
  readonly profile: Profile
}

/** The programs on their maps, ready for many frames. */
export class Node {
  readonly world = new World()
  private readonly runs = new Map<string, TestRun>()
  private readonly link: BpfLink

  constructor() {
    this.link = BpfLink.attachXdp(this.world.program('xdp', {}), this.world.deviceIndex('up2'))
  }

  close(): void {
    this.link.close()
    this.world.close()
  }

  send(frame: Buffer, place: Place): Result {
    const run = this.prepared(place)
    const { hook } = place
    run.data.set(frame)
    if (hook === 'xdp') run.ctx.writeUInt32LE(frame.length, 4)
    const retval = run.run(frame.length)
    const verdict = verdictOf(hook === 'xdp' ? 'xdp' : 'tc', retval)
    if (hook !== 'xdp') return { verdict, frame: Buffer.from(run.result), mark: run.ctxResult.readUInt32LE(MARK_AT) }
    // What the program wrote in front of the packet, for the one at tc, comes out as well.
    return { verdict, frame: Buffer.from(run.result.subarray(run.ctxResult.readUInt32LE(0))), mark: 0 }
  }

  private prepared({ hook, device, profile }: Place): TestRun {
    const name = `${hook} ${device} ${profile.name}`
    const found = this.runs.get(name)
    if (found !== undefined) return found
    const ctx = hook === 'xdp' ? XDP_MD_BYTES : SKB_BYTES
    const program = this.world.program(hook, configOf(profile, hook))
    const run = program.prepareTestRun({ data: LONGEST, out: LONGEST + 512, ctx })
    const ifindex = this.world.deviceIndex(device)
    if (hook === 'xdp') {
      run.ctx.writeUInt32LE(ifindex, 12)
    } else {
      run.ctx.writeUInt32LE(ifindex, 36)
      run.ctx.writeUInt32LE(ifindex, 40)
    }
    this.runs.set(name, run)
    return run
  }

  /** What the entry says that a packet with this tuple finds. */
  flow(key: FlowKeyFields): { to: FlowTuple; backendId: number; last: number } | undefined {
    const found = flowMaps(key.protocol)
      .map(({ name }) => this.world.map(name).lookup(encoded(flowKey, key)))
      .find((value) => value !== undefined)
    if (found === undefined) return undefined
    const { source, destination, sourcePort, destinationPort, backendId, last } = flowValue.decode(found)
    return { to: { source, destination, sourcePort, destinationPort }, backendId, last }
  }

  /** The backend that a client is remembered with. */
  affinity(client: number, serviceId: number): number | undefined {
    const bytes = Buffer.alloc(8)
    bytes.writeUInt32BE(client)
    const key = { client: bytes.readBigUInt64LE(), serviceId, isNetns: false }
    const found = this.world.map(AFFINITY_MAP.name).lookup(encoded(affinityKey, key))
    return found === undefined ? undefined : affinityValue.decode(found).backendId
  }

  /** Packets that were counted under this reason. */
  packets(direction: keyof typeof METRIC_DIRECTIONS, reason: keyof typeof DROP_REASONS): number {
    const key = encoded(metricKey, metricIndex(METRIC_DIRECTIONS[direction], DROP_REASONS[reason]))
    return Number(decodeCounter(this.world.map(METRICS_MAP.name).lookup(key) ?? Buffer.alloc(0)).packets)
  }

  /** `direction reason` to packets and bytes, without what was counted never and with what no reason explains. */
  counters(): Map<string, readonly [packets: number, bytes: number]> {
    const map = this.world.map(METRICS_MAP.name)
    const dump = map.dump()
    const counted = new Map<string, readonly [number, number]>()
    for (const { direction, reason, packets, bytes } of readCounters(dump, dump.values.length / dump.count)) {
      if (packets === 0n) continue
      const name = REASON_NAMES.get(reason) ?? `reason ${reason}`
      if (name !== EVENT_LOST) counted.set(`${direction} ${name}`, [Number(packets), Number(bytes)])
    }
    return counted
  }
}
