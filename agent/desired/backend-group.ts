import type { BackendDecision, BackendGroup, Reason, SlotBackend } from '../types/frontend.ts'

/**
 * Alive and announced for this view, though not selected: their flows go on. What a policy or an annotation excludes (other
 * nodes' backends in a Local view, clusters of a service that is not global) has no flows of this group to keep.
 */
const KEPT: ReadonlySet<Reason> = new Set<Reason>([
  'affinity-hides',
  'terminating',
  'not-ready',
  'cluster-unreachable',
  'unhealthy',
])

export const EMPTY_GROUP: BackendGroup = { slots: [], count: 0, decisions: [] }

/** Slots from decisions, which come selected ones first and each part sorted. */
export function backendGroup(decisions: readonly BackendDecision[]): BackendGroup {
  const slots: SlotBackend[] = []
  let count = 0
  for (const decision of decisions) {
    if (decision.selected) count++
    else if (!KEPT.has(decision.reason)) continue
    slots.push({
      address: decision.address,
      port: decision.port,
      protocol: decision.protocol,
      // A function of the endpoint alone, so that every service that shares the backend agrees on it.
      state: decision.condition === 'ready' ? 'active' : 'terminating',
      clusterId: decision.clusterId,
      weight: decision.weight,
    })
  }
  return { slots, count, decisions }
}
