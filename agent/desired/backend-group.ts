import type { BackendDecision, BackendGroup, Reason, SlotBackend } from '../types/frontend.ts'
import type { Service, ServicePort } from '../types/service.ts'
import type { ShownBackends, View } from './select-backends.ts'
import type { Snapshot } from './snapshot.ts'
import { decide, selectBackends, shownBackends } from './select-backends.ts'

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

/** The group of one service port under one view. `restored`: what the kernel held for its frontends, while that counts. */
export function backendGroup(
  snap: Snapshot,
  service: Service,
  port: ServicePort,
  view: View,
  restored: readonly SlotBackend[],
): BackendGroup {
  if (restored.length === 0) return new DerivedGroup(shownBackends(snap, service, port, view))
  const decisions = selectBackends(snap, service, port, view, restored)
  return { ...slotsOf(decisions), decisions }
}

/**
 * Keeps what was decided for the maps, and works the decisions out again when a person asks: the same function of the same
 * rows. A hundred thousand backends then cost their slots only, in memory and in the collector's time.
 */
class DerivedGroup implements BackendGroup {
  readonly slots: readonly SlotBackend[]
  readonly count: number
  readonly #shown: ShownBackends

  constructor(shown: ShownBackends) {
    const { slots, count } = slotsOf(decide(shown))
    this.slots = slots
    this.count = count
    this.#shown = shown
  }

  get decisions(): readonly BackendDecision[] {
    return decide(this.#shown)
  }
}

/** Slots from decisions, which come selected ones first and each part sorted. */
function slotsOf(decisions: readonly BackendDecision[]): Omit<BackendGroup, 'decisions'> {
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
  return { slots, count }
}
