import { describeError } from '../lib/errors.ts'
import { formatAddress } from '../types/address.ts'
import type { Cluster } from '../types/cluster.ts'
import type { Problem } from '../types/problem.ts'
import type { ServiceName } from '../types/service.ts'
import { PROTOCOL_NAMES } from '../types/service.ts'
import { clusterProblems, frontendProblem, mergeProblems } from './problems.ts'
import { compareFrontends, sourceRangesOf } from './services.ts'
import type { ExplainReport } from './types.ts'
import type { AgentView, FrontendView } from './view.ts'

type ExplainedFrontend = ExplainReport['frontends'][number]

/**
 * Every backend any cluster shows for the service, under each of its frontends: taken or not, and why. A service that
 * only other clusters have gets one entry without address. Undefined when no cluster knows the service.
 */
export function explainReport(view: AgentView, service: ServiceName): ExplainReport | undefined {
  const row = view.tables.services.get(service)
  const frontends = [...view.frontendsOf(service)]
    .filter(answers)
    .sort((a, b) => compareFrontends(a.frontend, b.frontend))
  const stray = frontends.length === 0 && row === undefined ? backendsWithoutService(view, service) : []
  if (row === undefined && frontends.length === 0 && stray.length === 0) return undefined

  const explained =
    stray.length > 0 ? [{ address: '', type: 'none', state: 'done' as const, backends: stray }] : frontends.map(explain)
  return {
    service,
    ...(row === undefined ? {} : { mesh: row.mesh }),
    frontends: explained,
    problems: mergeProblems(
      row?.problems ?? [],
      view.problemsOf(service),
      frontends.flatMap((frontend) => frontendProblem(frontend) ?? []),
      row !== undefined && frontends.length === 0 ? [noFrontend(service)] : [],
      clustersOf(view, service).flatMap((cluster) => clusterProblems(view.tables, cluster)),
    ),
  }
}

/** A Wildcard refuses, and has no backends to explain. */
const answers = ({ frontend }: FrontendView): boolean => frontend.type !== 'Wildcard'

function explain({ frontend, status }: FrontendView): ExplainedFrontend {
  return {
    address: frontend.id,
    type: frontend.type,
    state: status.state,
    ...(status.state === 'error' ? { error: describeError(status.error) } : {}),
    ...sourceRangesOf(frontend),
    backends: frontend.group.decisions.map((decision) => ({
      address: `${formatAddress(decision.address)}:${decision.port}/${PROTOCOL_NAMES[decision.protocol]}`,
      cluster: decision.cluster,
      selected: decision.selected,
      weight: decision.weight,
      tier: decision.tier,
      reason: decision.reason,
    })),
  }
}

/**
 * The remote clusters that have backends of the service, or would if they were heard: what is wrong with them may be why one
 * is taken or not.
 */
function clustersOf(view: AgentView, service: ServiceName): Cluster[] {
  const names = new Set<string>()
  for (const set of view.tables.backends.by('service', service)) names.add(set.cluster)
  if (view.tables.services.get(service)?.mesh.global === true) {
    for (const cluster of view.tables.clusters.values()) if (!cluster.synced.services) names.add(cluster.name)
  }
  return [...names].flatMap((name) => view.tables.clusters.get(name) ?? [])
}

function backendsWithoutService(view: AgentView, service: ServiceName): ExplainedFrontend['backends'] {
  const backends: ExplainedFrontend['backends'][number][] = []
  for (const set of view.tables.backends.by('service', service)) {
    for (const endpoint of set.endpoints) {
      for (const port of endpoint.ports) {
        backends.push({
          address: `${formatAddress(endpoint.address)}:${port.port}/${PROTOCOL_NAMES[port.protocol]}`,
          cluster: set.cluster,
          selected: false,
          weight: endpoint.weight,
          tier: 0,
          reason: set.shared === false ? 'not-shared' : 'no-local-service',
        })
      }
    }
  }
  return backends
}

function noFrontend(service: ServiceName): Problem {
  return {
    code: 'no-frontend',
    message: `${service} has no address to balance: it is headless, has no ports that are balanced, or is an ExternalName`,
    hint: 'give the Service a clusterIP and ports if it is meant to be load-balanced; otherwise nothing is wrong',
  }
}
