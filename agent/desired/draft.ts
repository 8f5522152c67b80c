import type { Endpoint, EndpointPort } from '../types/backend.ts'
import type { BackendDecision, Reason } from '../types/frontend.ts'
import type { Service } from '../types/service.ts'
import type { Snapshot } from './snapshot.ts'

/** A decision that is still being made. */
export type Draft = { -readonly [K in keyof BackendDecision]: BackendDecision[K] }

/** What all backends of one cluster have in common. */
export interface Side {
  readonly cluster: string
  readonly clusterId: number
  readonly isLocal: boolean
  readonly unreachable: boolean
  readonly tier: number
}

/** Tiers exist for global services with an affinity only; otherwise everything is tier 0. */
export function sideOf(snap: Snapshot, service: Service, cluster: string): Side {
  const isLocal = cluster === snap.local.clusterName
  const { global, affinity } = service.mesh
  const tier = !global || affinity === 'none' || (affinity === 'local') === isLocal ? 0 : 1
  if (isLocal) return { cluster, clusterId: snap.local.clusterId, isLocal, unreachable: false, tier }
  const row = snap.tables.clusters.get(cluster)
  return { cluster, clusterId: row?.id ?? 0, isLocal, unreachable: row?.unreachable ?? false, tier }
}

export function draft(
  endpoint: Pick<Endpoint, 'address' | 'nodeName' | 'zone' | 'condition' | 'weight'>,
  port: Pick<EndpointPort, 'port' | 'protocol'>,
  side: Side,
  reason: Reason,
): Draft {
  return {
    address: endpoint.address,
    port: port.port,
    protocol: port.protocol,
    cluster: side.cluster,
    clusterId: side.clusterId,
    nodeName: endpoint.nodeName,
    zone: endpoint.zone,
    condition: endpoint.condition,
    selected: false,
    preferred: false,
    weight: endpoint.weight,
    tier: side.tier,
    reason,
  }
}
