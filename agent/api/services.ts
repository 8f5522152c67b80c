import { formatAddress, formatCidr } from '../types/address.ts'
import { describeError } from '../lib/errors.ts'
import type { BackendDecision, Frontend, FrontendType, Reason } from '../types/frontend.ts'
import type { Service } from '../types/service.ts'
import { PROTOCOL_NAMES } from '../types/service.ts'
import { SERVICE_FLAGS } from '../types/service-flags.ts'
import type { BackendReport, ServiceReport, ServiceSpec, SourceRangesReport } from './types.ts'
import type { AgentView, FrontendView } from './view.ts'

/**
 * Reasons that leave a backend out of `service list`: it is not one of the frontend's backends at all. Everything else is
 * listed, taking connections or standing by.
 */
const NOT_A_BACKEND: ReadonlySet<Reason> = new Set<Reason>([
  'not-global',
  'not-shared',
  'no-local-service',
  'port-name-mismatch',
  'tier-hides',
  'cluster-not-synced',
  'not-ready',
  'traffic-policy-local',
])

/** Names of `cilium-dbg`; only one differs from ours. */
const TYPE_NAMES: Readonly<Record<FrontendType, string>> = {
  ClusterIP: 'ClusterIP',
  NodePort: 'NodePort',
  LoadBalancer: 'LoadBalancer',
  ExternalIP: 'ExternalIPs',
  HostPort: 'HostPort',
  Wildcard: 'Wildcard',
}

/**
 * One report per frontend, by id; those without an id come last, by address. A generator: with many services the answer
 * is written in pieces and is never whole in memory. Wildcard entries refuse traffic and have no service to list.
 */
export function* serviceReports(view: AgentView): Generator<ServiceReport> {
  const rows = [...view.frontends()].filter((row) => row.frontend.type !== 'Wildcard')
  rows.sort(byId)
  for (const row of rows) yield serviceReport(view, row)
}

function byId(a: FrontendView, b: FrontendView): number {
  const order = (a.id ?? Infinity) - (b.id ?? Infinity)
  if (order < 0 || order > 0) return order
  return compareFrontends(a.frontend, b.frontend)
}

/** By address, port, protocol, scope: a stable order for people. */
export function compareFrontends(a: Frontend, b: Frontend): number {
  return a.address - b.address || a.port - b.port || a.protocol - b.protocol || (a.scope < b.scope ? -1 : 1)
}

function serviceReport(view: AgentView, { frontend, id, status }: FrontendView): ServiceReport {
  const service =
    frontend.service === '' || frontend.type === 'HostPort' ? undefined : view.tables.services.get(frontend.service)
  const spec = serviceSpec(frontend, id ?? 0, service, view.cluster.name)
  const realized = status.state === 'done' ? spec : { ...spec, 'backend-addresses': [] }
  return {
    spec,
    status: {
      realized,
      state: status.state,
      ...(status.state === 'error' ? { error: describeError(status.error) } : {}),
    },
  }
}

function serviceSpec(frontend: Frontend, id: number, service: Service | undefined, cluster: string): ServiceSpec {
  const slash = frontend.service.indexOf('/')
  return {
    id,
    'frontend-address': {
      ip: formatAddress(frontend.address),
      port: frontend.port,
      protocol: PROTOCOL_NAMES[frontend.protocol],
      scope: frontend.scope === 'ext' ? 'external' : 'internal',
    },
    'backend-addresses': listedBackends(frontend.group.decisions),
    flags: {
      name: frontend.service.slice(slash + 1),
      namespace: frontend.service.slice(0, Math.max(slash, 0)),
      type: TYPE_NAMES[frontend.type],
      trafficPolicy:
        (frontend.type === 'ClusterIP' || frontend.scope === 'int'
          ? service?.internalTrafficPolicy
          : service?.externalTrafficPolicy) ?? 'Cluster',
      cluster,
      ...(service?.mesh.global === true ? { global: true } : {}),
      ...sourceRangesOf(frontend),
    },
  }
}

/** Who may open connections to a frontend, where not everybody may. */
export function sourceRangesOf({ flags, sourceRanges = [] }: Frontend): { readonly sourceRanges?: SourceRangesReport } {
  if ((flags & SERVICE_FLAGS.SRC_CHECK) === 0) return {}
  const policy = (flags & SERVICE_FLAGS.SRC_DENY) === 0 ? 'allow' : 'deny'
  return { sourceRanges: { policy, ranges: sourceRanges.map(formatCidr) } }
}

/** Preferred ones first, each part by address and port. */
function listedBackends(decisions: readonly BackendDecision[]): BackendReport[] {
  const listed = decisions.filter((decision) => !NOT_A_BACKEND.has(decision.reason))
  listed.sort(
    (a, b) =>
      Number(b.preferred) - Number(a.preferred) || a.address - b.address || a.port - b.port || a.protocol - b.protocol,
  )
  return listed.map((decision) => ({
    ip: formatAddress(decision.address),
    port: decision.port,
    protocol: PROTOCOL_NAMES[decision.protocol],
    state: backendState(decision),
    preferred: decision.preferred,
    weight: decision.weight,
    cluster: decision.cluster,
    ...(decision.nodeName === undefined ? {} : { nodeName: decision.nodeName }),
  }))
}

function backendState(decision: BackendDecision): string {
  if (decision.reason === 'cluster-unreachable' || decision.reason === 'unhealthy') return 'quarantined'
  return decision.condition === 'ready' ? 'active' : 'terminating'
}
