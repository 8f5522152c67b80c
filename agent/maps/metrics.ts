import { u32Codec } from './codec.ts'
import { MAPS, MetDir, MetVal } from './layout.gen.ts'

/** Counters by direction and reason, one slot per cpu. */
export const METRICS_MAP = MAPS.w_met_v1

export const METRIC_DIRECTIONS = MetDir

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
