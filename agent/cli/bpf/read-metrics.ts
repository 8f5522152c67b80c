import { METRICS_MAP, readCounters } from '../../maps/metrics.ts'
import type { MetricRow } from './format.ts'
import type { OpenMap } from './pins.ts'

/** Counters that have counted something, by direction and reason, summed over all cpus. */
export function readMetrics(open: OpenMap): MetricRow[] {
  const map = open(METRICS_MAP.name)
  return [...readCounters(map.dump(), map.valueStride)]
    .filter(({ packets }) => packets > 0n)
    .map(({ name: reason, direction, packets, bytes }) => ({
      ...{ reason, direction },
      packets: Number(packets),
      bytes: Number(bytes),
    }))
}
