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
  /** Its control plane is silent, and no backend of it has answered this node lately. */
  readonly unreachable: boolean
  /** Backends that do not answer this node, by `reachKey`. */
  readonly dead: ReadonlySet<number>
  readonly tier: number
}

const NONE: ReadonlySet<number> = new Set()

/** Tiers exist for global services with an affinity only; otherwise everything is tier 0. */
export function sideOf(snap: Snapshot, service: Service, cluster: string): Side {
  const isLocal = cluster === snap.local.clusterName
  const { global, affinity } = service.mesh
  const tier = !global || affinity === 'none' || (affinity === 'local') === isLocal ? 0 : 1
  if (isLocal) return { cluster, clusterId: snap.local.clusterId, isLocal, unreachable: false, dead: NONE, tier }
  const row = snap.tables.clusters.get(cluster)
  const reach = snap.tables.reach.get(cluster)
  const unreachable = (row?.unreachable ?? false) && !(reach?.answers ?? false)
  return { cluster, clusterId: row?.id ?? 0, isLocal, unreachable, dead: reach?.dead ?? NONE, tier }
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
