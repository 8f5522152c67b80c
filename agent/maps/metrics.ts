import { u32Codec } from './codec.ts'
import { reasonName } from './drop-reasons.ts'
import { MAPS, MetDir, MetVal } from './layout.gen.ts'

/** Counters by direction and reason, one slot per cpu. */
export const METRICS_MAP = MAPS.w_met_v1

export const METRIC_DIRECTIONS = MetDir

const DIRECTION_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(MetDir).map(([name, number]) => [number, name.toLowerCase()]),
)

const DIRECTIONS = Object.keys(MetDir).length
/** Reasons per direction: the index is direction × this + reason. */
export const METRIC_REASONS = METRICS_MAP.maxEntries / DIRECTIONS

export interface Counter {
  readonly packets: bigint
  readonly bytes: bigint
}

export const metricKey = u32Codec

export function metricIndex(direction: number, reason: number): number {
  return direction * METRIC_REASONS + reason
}

export function metricOf(index: number): { readonly direction: number; readonly reason: number } {
  return { direction: Math.floor(index / METRIC_REASONS), reason: index % METRIC_REASONS }
}

/** A dump of the map, in the order of its indexes: reasons of one direction stand together. */
export function* readCounters(
  dump: { readonly keys: Buffer; readonly values: Buffer; readonly count: number },
  valueStride: number,
): Generator<{ readonly direction: string; readonly reason: number; readonly name: string } & Counter> {
  const at = new Map<number, number>()
  for (let i = 0; i < dump.count; i++) at.set(metricKey.decode(dump.keys, i * metricKey.size), i * valueStride)
  for (const index of [...at.keys()].sort((a, b) => a - b)) {
    const start = at.get(index)!
    const { direction, reason } = metricOf(index)
    yield {
      direction: DIRECTION_NAMES.get(direction) ?? String(direction),
      reason,
      name: reasonName(reason),
      ...decodeCounter(dump.values.subarray(start, start + valueStride)),
    }
  }
}

/** The sum over all cpus of a value as user space reads it: one element after the other. */
export function decodeCounter(perCpu: Buffer): Counter {
  let packets = 0n
  let bytes = 0n
  for (let at = 0; at + MetVal.size <= perCpu.length; at += MetVal.size) {
    packets += perCpu.readBigUInt64LE(at + MetVal.packets)
    bytes += perCpu.readBigUInt64LE(at + MetVal.bytes)
  }
  return { packets, bytes }
}
