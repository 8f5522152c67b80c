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
import type { TestRun } from '../../../native/index.ts'
import { type Verdict, verdictOf } from '../run.ts'
import { type Config, type Hook, World } from '../world.ts'
import { TIGHT, WIDE } from './scene.ts'

const LONGEST = 2048
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

/** The programs on their maps, ready for many frames. */
export class Node {
  readonly world = new World()
  private readonly runs = new Map<string, TestRun>()

  close(): void {
    this.world.close()
  }

  send(frame: Buffer, hook: Hook, tight: boolean): Result {
    const run = this.prepared(hook, tight)
    run.data.set(frame)
    if (hook === 'xdp') run.ctx.writeUInt32LE(frame.length, 4)
    const retval = run.run(frame.length)
    const verdict = verdictOf(hook === 'xdp' ? 'xdp' : 'tc', retval)
    if (hook !== 'xdp') return { verdict, frame: Buffer.from(run.result), mark: run.ctxResult.readUInt32LE(MARK_AT) }
    // What the program wrote in front of the packet, for the one at tc, comes out as well.
    return { verdict, frame: Buffer.from(run.result.subarray(run.ctxResult.readUInt32LE(0))), mark: 0 }
  }

  private prepared(hook: Hook, tight: boolean): TestRun {
    const name = `${hook} ${tight}`
    const found = this.runs.get(name)
    if (found !== undefined) return found
    const { portMin, portMax } = tight ? TIGHT : WIDE
    // No limit to the errors that are sent: it counts by the second.
    const config: Config = {
      cfg_snat_port_min: portMin,
      cfg_snat_port_max: portMax,
      cfg_icmp_per_s: 0x7fffffff,
      // The model knows clients outside alone.
      ...(hook === 'xdp' ? {} : { cfg_inside: false }),
    }
    const ctx = hook === 'xdp' ? XDP_MD_BYTES : SKB_BYTES
    const run = this.world.program(hook, config).prepareTestRun({ data: LONGEST, out: LONGEST + 512, ctx })
    const ifindex = this.world.ifindex(hook)
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

  /** Packets that came in and were counted under this reason. */
  packets(reason: keyof typeof DROP_REASONS): number {
    const key = encoded(metricKey, metricIndex(METRIC_DIRECTIONS.INGRESS, DROP_REASONS[reason]))
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
