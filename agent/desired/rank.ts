import type { BackendDecision } from '../types/frontend.ts'
import type { Service } from '../types/service.ts'
import type { Draft } from './draft.ts'

/** Rank of what may not take new connections, whatever else is missing. */
export const NOT_USABLE = 12

const SERVING = 2
const UNREACHABLE = 4
const UNHEALTHY = 8

/**
 * Lower is better; the lowest rank present takes all new connections. A reachable cluster comes before a ready backend, and
 * that before the preferred tier: so a terminating pod is used before one behind a dead link, and the last ready pod of the
 * preferred tier going away brings in the other tier rather than pods that are about to stop. A backend that did not answer
 * this node comes last of all, and is still taken before nothing.
 */
export function rankOf(draft: Draft): number {
  switch (draft.reason) {
    case 'selected':
      return draft.tier
    case 'terminating':
      return SERVING + draft.tier
    case 'cluster-unreachable':
      return UNREACHABLE + (draft.condition === 'serving' ? SERVING : 0) + draft.tier
    case 'unhealthy':
      return UNHEALTHY + (draft.condition === 'serving' ? SERVING : 0) + draft.tier
    default:
      return NOT_USABLE
  }
}

/** Turns what each draft would be on its own into what it is beside the others. */
export function settle(drafts: Draft[], service: Service): readonly BackendDecision[] {
  let best = NOT_USABLE
  let worst = 0
  for (const draft of drafts) {
    const rank = rankOf(draft)
    if (rank < best) best = rank
    if (rank > worst) worst = rank
  }
  const prefers = service.mesh.global && service.mesh.affinity !== 'none'
  for (const draft of drafts) {
    const rank = rankOf(draft)
    if (rank >= NOT_USABLE) continue
    if (rank === best) {
      draft.selected = true
      draft.preferred = prefers
      draft.reason = 'selected'
    } else if (rank >> 2 === best >> 2) {
      // Only among equals does something else than what is wrong with it decide.
      draft.reason = (rank & SERVING) !== 0 && (best & SERVING) === 0 ? 'terminating' : 'affinity-hides'
    }
  }
  if (best === worst) return drafts
  return [...drafts.filter((draft) => draft.selected), ...drafts.filter((draft) => !draft.selected)]
}
