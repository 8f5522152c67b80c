import type { BackendSet, Endpoint, EndpointPort } from '../types/backend.ts'
import type { BackendDecision, Reason, SlotBackend } from '../types/frontend.ts'
import type { Service, ServicePort } from '../types/service.ts'
import type { Draft, Side } from './draft.ts'
import type { Snapshot } from './snapshot.ts'
import { reachKey } from '../types/reach.ts'
import { draft, sideOf } from './draft.ts'
import { NOT_USABLE, rankOf, settle } from './rank.ts'
import { restoredCandidates } from './restored.ts'

/** `local`: only backends on this node, for traffic policy Local. */
export type View = 'all' | 'local'

/**
 * Which backends take new connections of one service port under one view, and why the others do not: the one place where
 * that is decided.
 *
 * What stays true: every backend that any cluster shows gets exactly one reason; `selected` ⇔ reason `selected`; if any
 * backend is usable, at least one is selected; the preferred tier is left only when none of its backends is ready.
 * Order: selected ones first, each part by (address, port).
 *
 * An address and port that two clusters claim belongs to the own cluster, else to the first by name; the other's claim is
 * shown as `tier-hides`.
 */
export function selectBackends(
  snap: Snapshot,
  service: Service,
  port: ServicePort,
  view: View,
  restored: readonly SlotBackend[] = [],
): readonly BackendDecision[] {
  const shown = shownBackends(snap, service, port, view)
  if (restored.length === 0) return decide(shown)
  const drafts = draftsOf(shown)
  restoredCandidates(drafts, snap, service, port, restored)
  return settle(order(drafts, snap.local.clusterName), service)
}

/** All that a decision depends on, taken from a snapshot: rows never change, so the answer can be worked out again later. */
export interface ShownBackends {
  readonly service: Service
  readonly port: ServicePort
  readonly view: View
  readonly ownCluster: string
  readonly ownNode: string
  readonly sets: readonly (readonly [BackendSet, Side])[]
}

export function shownBackends(snap: Snapshot, service: Service, port: ServicePort, view: View): ShownBackends {
  const sets: [BackendSet, Side][] = []
  for (const set of snap.tables.backends.by('service', service.name))
    sets.push([set, sideOf(snap, service, set.cluster)])
  return { service, port, view, ownCluster: snap.local.clusterName, ownNode: snap.local.nodeName, sets }
}

export function decide(shown: ShownBackends): readonly BackendDecision[] {
  return settle(order(draftsOf(shown), shown.ownCluster), shown.service)
}

function draftsOf(shown: ShownBackends): Draft[] {
  const drafts: Draft[] = []
  for (const [set, side] of shown.sets) addSet(drafts, set, side, shown)
  return drafts
}

function addSet(drafts: Draft[], set: BackendSet, side: Side, shown: ShownBackends): void {
  const { service, port, view, ownNode } = shown
  // Endpoints of a set share their ports array almost always: match it once.
  let ports: readonly EndpointPort[] | undefined
  let matched: readonly EndpointPort[] = []
  const refused = !side.isLocal && !service.mesh.global ? 'not-global' : set.shared === false ? 'not-shared' : undefined
  for (const endpoint of set.endpoints) {
    if (endpoint.ports !== ports) {
      ports = endpoint.ports
      matched = matchPorts(ports, port, side.isLocal)
    }
    if (matched.length === 0) {
      const shown = ports[0] ?? { protocol: port.protocol, port: 0 }
      drafts.push(draft(endpoint, shown, side, refused ?? 'port-name-mismatch'))
      continue
    }
    const away = view === 'local' && !(side.isLocal && endpoint.nodeName === ownNode)
    const reason = refused ?? (away ? 'traffic-policy-local' : standing(endpoint, side))
    for (let i = 0; i < matched.length; i++) {
      const dead = side.dead.size > 0 && refused === undefined && !away && isDead(endpoint, matched[i]!, side)
      drafts.push(draft(endpoint, matched[i]!, side, dead ? 'unhealthy' : reason))
    }
  }
}

/** The reason it would have if something better were there; `selected` when nothing can be better but its tier. */
function standing(endpoint: Endpoint, side: Side): Reason {
  if (endpoint.condition === 'not-ready') return 'not-ready'
  if (side.unreachable) return 'cluster-unreachable'
  return endpoint.condition === 'ready' ? 'selected' : 'terminating'
}

/** What takes no connections anyway stays what it is. */
function isDead(endpoint: Endpoint, { port, protocol }: EndpointPort, side: Side): boolean {
  return endpoint.condition !== 'not-ready' && protocol === 6 && side.dead.has(reachKey(endpoint.address, port))
}

/**
 * The own cluster's slices name their ports as the service does. A remote cluster's service is another object: an unnamed
 * service port takes any port of the protocol, a nameless remote port fits any name.
 */
function matchPorts(ports: readonly EndpointPort[], want: ServicePort, isLocal: boolean): readonly EndpointPort[] {
  if (ports.length === 1) return fits(ports[0]!, want, isLocal) ? ports : []
  return ports.filter((port) => fits(port, want, isLocal))
}

function fits(port: EndpointPort, want: ServicePort, isLocal: boolean): boolean {
  if (port.protocol !== want.protocol) return false
  return port.name === want.name || (!isLocal && (want.name === '' || port.name === ''))
}

/** Sorted by (address, port), one candidate for each; in the common case the rows come that way and nothing is done. */
function order(drafts: Draft[], ownCluster: string): Draft[] {
  let sorted = true
  for (let i = 1; i < drafts.length && sorted; i++) sorted = byAddress(drafts[i - 1]!, drafts[i]!) < 0
  if (sorted) return drafts
  const rank = (a: Draft): number => (a.cluster === ownCluster ? 0 : 1)
  // Between remote clusters, a claim that nobody can use gives way.
  const idle = (a: Draft): number => (rankOf(a) < NOT_USABLE ? 0 : 1)
  drafts.sort(
    (a, b) =>
      byAddress(a, b) ||
      a.protocol - b.protocol ||
      rank(a) - rank(b) ||
      idle(a) - idle(b) ||
      (a.cluster < b.cluster ? -1 : a.cluster > b.cluster ? 1 : 0) ||
      rankOf(a) - rankOf(b),
  )
  const kept: Draft[] = []
  let winner: Draft | undefined
  for (const next of drafts) {
    const claim = next.reason !== 'port-name-mismatch'
    const holder = claim ? winner : kept.at(-1)
    const same = holder !== undefined && byAddress(holder, next) === 0 && holder.protocol === next.protocol
    if (same && holder.cluster === next.cluster) continue
    if (same && claim && rankOf(next) < NOT_USABLE) next.reason = 'tier-hides'
    if (claim && !same) winner = next
    kept.push(next)
  }
  return kept
}

function byAddress(a: Draft, b: Draft): number {
  return a.address - b.address || a.port - b.port
}
