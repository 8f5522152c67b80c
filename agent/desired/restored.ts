import type { SlotBackend } from '../types/frontend.ts'
import type { Service, ServicePort } from '../types/service.ts'
import type { Draft, Side } from './draft.ts'
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
    const side = waitingSide(snap, service, slot.clusterId)
    if (side === undefined) continue
    shown.add(key(slot.address, slot.port))
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
 * The cluster a restored backend may still be announced by; undefined when that one has spoken. An id nobody has claimed may
 * belong to any cluster that has not said its id: where several have not, the name is unknown, and all of them must be silent
 * for the backend to be avoided.
 */
function waitingSide(snap: Snapshot, service: Service, clusterId: number): Side | undefined {
  if (clusterId === snap.local.clusterId || clusterId === 0) {
    return snap.isSynced(LOCAL_SOURCE) ? undefined : sideOf(snap, service, snap.local.clusterName)
  }
  const waiting: string[] = []
  const nameless: string[] = []
  for (const { name, id } of snap.tables.clusters.values()) {
    const spoken = snap.isSynced(meshSource(name))
    if (id === clusterId) return spoken ? undefined : sideOf(snap, service, name)
    if (spoken) continue
    waiting.push(name)
    if (id === 0) nameless.push(name)
  }
  if (!anyUnsynced(snap)) return undefined
  const sides = (nameless.length > 0 ? nameless : waiting).map((name) => sideOf(snap, service, name))
  if (sides.length === 1) return sides[0]
  const unreachable = sides.length > 0 && sides.every((side) => side.unreachable)
  return { ...sideOf(snap, service, `id ${clusterId}`), unreachable }
}

function key(address: number, port: number): number {
  return address * 65536 + port
}
