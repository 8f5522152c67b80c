import type { SlotBackend } from '../types/frontend.ts'
import type { Service, ServicePort } from '../types/service.ts'
import type { Draft } from './draft.ts'
import type { Snapshot } from './snapshot.ts'
import { LOCAL_SOURCE, meshSource } from '../state/sync.ts'
import { draft, sideOf } from './draft.ts'

/** Whether any source is still waited for, so that backends found in the kernel may count. */
export function anyUnsynced(snap: Snapshot): boolean {
  if (!snap.isSynced(LOCAL_SOURCE)) return true
  for (const cluster of snap.tables.clusters.values()) if (!snap.isSynced(meshSource(cluster.name))) return true
  return false
}

/**
 * Adds the backends found in the kernel that nobody shows yet and whose cluster has not finished its list. Once it has, what
 * it does not show is gone.
 */
export function restoredCandidates(
  drafts: Draft[],
  snap: Snapshot,
  service: Service,
  port: ServicePort,
  restored: readonly SlotBackend[],
): void {
  const shown = new Set<number>()
  for (const known of drafts) shown.add(key(known.address, known.port))
  for (const slot of restored) {
    if (slot.protocol !== port.protocol || shown.has(key(slot.address, slot.port))) continue
    const owner = waitingOwner(snap, slot.clusterId)
    if (owner === undefined) continue
    shown.add(key(slot.address, slot.port))
    const side = sideOf(snap, service, owner)
    const condition = slot.state === 'active' ? 'ready' : slot.state === 'terminating' ? 'serving' : 'not-ready'
    const endpoint = {
      address: slot.address,
      nodeName: undefined,
      zone: undefined,
      condition,
      weight: slot.weight,
    } as const
    const reason =
      !side.isLocal && !service.mesh.global
        ? 'not-global'
        : condition === 'not-ready'
          ? 'not-ready'
          : side.unreachable
            ? 'cluster-unreachable'
            : condition === 'ready'
              ? 'selected'
              : 'terminating'
    const made = draft(endpoint, slot, side, reason)
    // The kernel knows the id even when the cluster's configuration was not read yet.
    if (!side.isLocal) made.clusterId = slot.clusterId
    drafts.push(made)
  }
}

/**
 * Name of the cluster a restored backend may still be announced by; undefined when that one has spoken. An id nobody has
 * claimed may belong to any cluster that has not said its id: the name is then unknown.
 */
function waitingOwner(snap: Snapshot, clusterId: number): string | undefined {
  if (clusterId === snap.local.clusterId || clusterId === 0) {
    return snap.isSynced(LOCAL_SOURCE) ? undefined : snap.local.clusterName
  }
  for (const cluster of snap.tables.clusters.values()) {
    if (cluster.id === clusterId) return snap.isSynced(meshSource(cluster.name)) ? undefined : cluster.name
  }
  return anyUnsynced(snap) ? `id ${clusterId}` : undefined
}

function key(address: number, port: number): number {
  return address * 65536 + port
}
