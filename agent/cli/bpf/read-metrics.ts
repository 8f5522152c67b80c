import { reasonName } from '../../maps/drop-reasons.ts'
import { decodeCounter, METRIC_DIRECTIONS, metricOf, METRICS_MAP, metricKey } from '../../maps/metrics.ts'
import type { MetricRow } from './format.ts'
import { nameOf } from './format.ts'
import type { OpenMap } from './pins.ts'

/** Counters that have counted something, by direction and reason, summed over all cpus. */
export function readMetrics(open: OpenMap): MetricRow[] {
  const map = open(METRICS_MAP.name)
  const { keys, values, count } = map.dump()
  const found: { readonly index: number; readonly row: MetricRow }[] = []
  for (let i = 0; i < count; i++) {
    const index = metricKey.decode(keys, i * metricKey.size)
    const { packets, bytes } = decodeCounter(values.subarray(i * map.valueStride, (i + 1) * map.valueStride))
    if (packets === 0n) continue
    const { direction, reason } = metricOf(index)
    found.push({
      index,
      row: {
        reason: reasonName(reason),
        direction: nameOf(METRIC_DIRECTIONS, direction),
        packets: Number(packets),
        bytes: Number(bytes),
      },
    })
  }
  return found.sort((a, b) => a.index - b.index).map(({ row }) => row)
}
