import type { BackendGroup, Frontend, SlotBackend } from '../types/frontend.ts'
import type { Problem } from '../types/problem.ts'
import type { Forwarding, Service, ServiceName, ServicePort } from '../types/service.ts'
import type { Site } from './sites.ts'
import type { Snapshot } from './snapshot.ts'
import type { View } from './select-backends.ts'
import { formatAddress } from '../types/address.ts'
import { SERVICE_FLAGS } from '../types/service-flags.ts'
import { frontendId } from '../types/frontend.ts'
import { backendGroup } from './backend-group.ts'
import { maglevSizeFor } from './maglev-size.ts'
import { healthFrontends } from './health-checks.ts'
import { isBalanced, notBalanced } from './protocols.ts'
import { anyUnsynced } from './restored.ts'
import { sitesOf } from './sites.ts'
import { wildcardsOf } from './wildcards.ts'

export interface DesiredFrontends {
  readonly frontends: readonly Frontend[]
  /** Those found while the object was read, then those found here. */
  readonly problems: readonly Problem[]
}

const NOTHING: DesiredFrontends = { frontends: [], problems: [] }
const NO_SLOTS: readonly SlotBackend[] = []

/**
 * Every address and port a service answers on, each with its backends. Frontends of one port and view share the group object.
 *
 * Headless and ExternalName services have none. Two addresses of one service that fall together are one frontend when they mean
 * the same port; otherwise the more explicit one wins and a `frontend-conflict` says so. Conflicts between services are settled
 * where all services meet, by `frontendRank`.
 */
export function desiredFrontends(snap: Snapshot, name: ServiceName): DesiredFrontends {
  const service = snap.tables.services.get(name)
  if (service === undefined) return NOTHING
  if (service.clusterIPs.length === 0 || service.type === 'ExternalName') {
    return service.problems.length === 0 ? NOTHING : { frontends: [], problems: service.problems }
  }
  const sites = sitesOf(snap, service)
  const useRestored = anyUnsynced(snap)
  const frontends: Frontend[] = []
  const problems: Problem[] = [...service.problems]
  for (const port of service.ports) {
    if (!isBalanced(port.protocol)) {
      problems.push(notBalanced(`${service.origin}: service ${service.name}, port ${port.port}`, port.protocol))
      continue
    }
    const nodePort = usableNodePort(snap, service, port, problems)
    let all: BackendGroup | undefined
    let local: BackendGroup | undefined
    for (const site of sites) {
      const number = site.type === 'NodePort' ? nodePort : port.port
      if (number === undefined) continue
      let group = site.view === 'all' ? all : local
      if (group === undefined) {
        const restored = useRestored ? restoredFor(snap, sites, site.view, port) : NO_SLOTS
        group = backendGroup(snap, service, port, site.view, restored)
        if (site.view === 'all') all = group
        else local = group
      }
      frontends.push(frontendAt(snap, service, port, site, number, group))
    }
  }
  frontends.push(...healthFrontends(snap, service), ...wildcardsOf(snap, service))
  // One address cannot fall together with itself: the usual service has nothing to check.
  const unique = sites.length > 1 || service.ports.length > 1 ? dropConflicts(frontends, service, problems) : frontends
  return { frontends: unique, problems }
}

function frontendAt(
  snap: Snapshot,
  service: Service,
  port: ServicePort,
  site: Site,
  number: number,
  group: BackendGroup,
): Frontend {
  // Inside clients choose at random: a table for them would be built for nobody.
  const algorithm = site.outside ? (service.algorithm ?? snap.lb.algorithm) : 'random'
  return {
    id: frontendId(site.address, number, port.protocol, site.scope),
    address: site.address,
    port: number,
    protocol: port.protocol,
    scope: site.scope,
    service: service.name,
    type: site.type,
    flags: site.flags,
    algorithm,
    forwarding: site.outside ? forwardingOf(snap, service, port) : 'snat',
    affinitySeconds: service.sessionAffinitySeconds,
    maglevSize: algorithm === 'maglev' ? maglevSizeFor(snap.lb.maglevSize, group.count) : 0,
    sourceRanges: (site.flags & SERVICE_FLAGS.SRC_CHECK) === 0 ? undefined : service.sourceRanges,
    group,
  }
}

function forwardingOf(snap: Snapshot, service: Service, port: ServicePort): Forwarding {
  if (service.forwarding !== undefined) return service.forwarding
  if (snap.lb.mode === 'hybrid') return port.protocol === 6 ? 'dsr' : 'snat'
  return snap.lb.mode
}

/** What the kernel held for any frontend that will use this group. */
function restoredFor(snap: Snapshot, sites: readonly Site[], view: View, port: ServicePort): readonly SlotBackend[] {
  let found: readonly SlotBackend[] = NO_SLOTS
  for (const site of sites) {
    const number = site.type === 'NodePort' ? port.nodePort : port.port
    if (site.view !== view || number === undefined) continue
    const slots = snap.restored(frontendId(site.address, number, port.protocol, site.scope))
    if (slots.length > 0) found = found.length === 0 ? slots : [...found, ...slots]
  }
  return found
}

function usableNodePort(snap: Snapshot, service: Service, port: ServicePort, problems: Problem[]): number | undefined {
  const { first, last } = snap.lb.nodePortRange
  if (port.nodePort === undefined || service.type === 'ClusterIP') return undefined
  if (port.nodePort >= first && port.nodePort <= last) return port.nodePort
  problems.push({
    code: 'node-port-out-of-range',
    message: `${service.origin}: service ${service.name} asks for node port ${port.nodePort}, outside ${first}-${last}`,
    hint: 'choose a node port inside the range, or widen the range in the configuration of every node',
  })
  return undefined
}

function dropConflicts(frontends: Frontend[], service: Service, problems: Problem[]): readonly Frontend[] {
  const byId = new Map<string, Frontend>()
  for (const frontend of frontends) {
    const winner = byId.get(frontend.id)
    if (winner === undefined) byId.set(frontend.id, frontend)
    else if (frontendRank(frontend) < frontendRank(winner)) {
      byId.set(frontend.id, frontend)
      if (winner.group !== frontend.group) problems.push(frontendConflict(service.name, frontend, service.name, winner))
    } else if (winner.group !== frontend.group) {
      problems.push(frontendConflict(service.name, winner, service.name, frontend))
    }
  }
  return byId.size === frontends.length ? frontends : [...byId.values()]
}

/**
 * Who gets an address that two services claim: the lower rank, then the first owner by name. An address that a person wrote down
 * beats a node port, which is only expanded onto it; any service beats a pod's hostPort, which the others could not do without.
 */
export function frontendRank(frontend: Frontend): number {
  return frontend.type === 'HostPort' ? 2 : frontend.type === 'NodePort' ? 1 : 0
}

export function frontendConflict(winner: string, kept: Frontend, loser: string, refused: Frontend): Problem {
  const claim = `${formatAddress(refused.address)}:${refused.port} (${refused.type})`
  return {
    code: 'frontend-conflict',
    message: `service ${loser} claims ${claim}, which service ${winner} already answers on as ${kept.type}`,
    hint: `give ${loser} another address or port`,
  }
}
