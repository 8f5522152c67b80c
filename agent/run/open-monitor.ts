import type { Clock } from '../lib/clock.ts'
import { ifName, RingBuffer } from '../../native/index.ts'
import { DROP_REASONS } from '../maps/drop-reasons.ts'
import { encoded } from '../maps/codec.ts'
import { EVENT_RING } from '../maps/events.ts'
import { decodeCounter, METRIC_DIRECTIONS, metricIndex, metricKey, METRICS_MAP } from '../maps/metrics.ts'
import { RUNTIME_MAP } from '../maps/runtime.ts'
import { EventMonitor } from '../targets/monitor.ts'
import type { Datapath } from '../targets/programs.ts'

/** What the programs tell of packets, for whoever listens. `trace`: of those that go on too. */
export function openMonitor(datapath: Datapath, clock: Clock, trace: boolean): EventMonitor {
  const counters = datapath.maps[METRICS_MAP.name]!
  const directions: number[] = Object.values(METRIC_DIRECTIONS)
  const lostIn = (direction: number): number => {
    const value = counters.lookup(encoded(metricKey, metricIndex(direction, DROP_REASONS.REASON_EVENT_LOST)))
    return value === undefined ? 0 : Number(decodeCounter(value).packets)
  }
  return new EventMonitor({
    ring: new RingBuffer(datapath.maps[EVENT_RING.name]!),
    runtime: datapath.maps[RUNTIME_MAP.name]!.mmap(),
    lost: () => directions.reduce((sum, direction) => sum + lostIn(direction), 0),
    monotonic: () => process.hrtime.bigint(),
    ...{ ifName, clock, trace },
  })
}
