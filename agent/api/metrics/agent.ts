import { setImmediate as nextTurn } from 'node:timers/promises'
import type { BackendGroup, Reason } from '../../types/frontend.ts'
import { REASONS } from '../../types/frontend.ts'
import { clusterMeshReport } from '../clustermesh.ts'
import { statusProblems } from '../problems.ts'
import type { AgentView, FrontendView } from '../view.ts'
import { buildSample, problemSamples, targetSamples } from './common.ts'
import { meshSamples } from './mesh.ts'
import type { Sample } from './metric.ts'
import { counter, gauge, sample } from './metric.ts'

/** What the programs count, over all cpus. */
export interface PacketCount {
  /** A drop reason, or `forwarded`. */
  readonly reason: string
  readonly direction: string
  readonly packets: number
  readonly bytes: number
}

const MAP = 'map'
const DROP = ['reason', 'direction'] as const

export const AGENT_METRICS = {
  waiting: gauge('weft_sources_waiting', 'Sources that have not delivered their first complete list.'),
  backends: gauge(
    'weft_backends',
    'Backends of all services by why they are used (selected) or not: the reasons of weft explain.',
    'reason',
  ),
  unanswering: gauge(
    'weft_clustermesh_remote_cluster_unanswering_backends',
    'Backends that do not answer the probes of this node.',
    'target_cluster',
  ),
  globalServices: gauge('weft_clustermesh_global_services', 'Services that remote clusters share.'),
  entries: gauge('weft_bpf_map_entries', 'Entries in use.', MAP),
  capacity: gauge('weft_bpf_map_capacity_entries', 'Entries there is room for.', MAP),
  forwardedPackets: counter(
    'weft_datapath_forwarded_packets_total',
    'Packets and socket calls sent on to a backend, and answers.',
    'direction',
  ),
  forwardedBytes: counter('weft_datapath_forwarded_bytes_total', 'Bytes of those.', 'direction'),
  droppedPackets: counter('weft_datapath_dropped_packets_total', 'Packets and socket calls refused.', ...DROP),
  droppedBytes: counter('weft_datapath_dropped_bytes_total', 'Bytes of those.', ...DROP),
} as const

/** Backends looked at between two turns of the event loop: a scrape must not hold up a service change. */
const BACKENDS_PER_TURN = 5000

/** Everything a scrape of an agent shows, as it stands. */
export async function agentSamples(view: AgentView, packets: Iterable<PacketCount>): Promise<Sample[]> {
  const reasons = await countReasons(view.frontends())
  const mesh = clusterMeshReport(view.tables, view.cluster.name)
  return [
    buildSample(view.version, view.cluster.name),
    ...problemSamples(statusProblems(view)),
    sample(AGENT_METRICS.waiting, view.waitingFor().length, {}),
    ...targetSamples(view.targets()),
    ...view
      .datapath()
      .maps.flatMap(({ name: map, entries, maxEntries }) => [
        sample(AGENT_METRICS.entries, entries, { map }),
        sample(AGENT_METRICS.capacity, maxEntries, { map }),
      ]),
    ...REASONS.map((reason) => sample(AGENT_METRICS.backends, reasons.get(reason) ?? 0, { reason })),
    ...packetSamples(packets),
    sample(AGENT_METRICS.globalServices, mesh['num-global-services'], {}),
    ...meshSamples(mesh),
    ...[...view.tables.reach.values()].map(({ cluster, dead }) =>
      sample(AGENT_METRICS.unanswering, dead.size, { target_cluster: cluster }),
    ),
  ]
}

/** Frontends of one service port share their backends, which count once. */
async function countReasons(frontends: Iterable<FrontendView>): Promise<Map<Reason, number>> {
  const counts = new Map<Reason, number>()
  const seen = new Set<BackendGroup>()
  let looked = 0
  for (const { frontend } of frontends) {
    if (seen.has(frontend.group)) continue
    seen.add(frontend.group)
    for (const { reason } of frontend.group.decisions) counts.set(reason, (counts.get(reason) ?? 0) + 1)
    if ((looked += frontend.group.decisions.length) < BACKENDS_PER_TURN) continue
    looked = 0
    await nextTurn()
  }
  return counts
}

function* packetSamples(counts: Iterable<PacketCount>): Generator<Sample> {
  for (const { reason, direction, packets, bytes } of counts) {
    if (reason === 'forwarded') {
      yield sample(AGENT_METRICS.forwardedPackets, packets, { direction })
      yield sample(AGENT_METRICS.forwardedBytes, bytes, { direction })
    } else {
      yield sample(AGENT_METRICS.droppedPackets, packets, { reason, direction })
      yield sample(AGENT_METRICS.droppedBytes, bytes, { reason, direction })
    }
  }
}
