import { describeError, hintOf } from '../lib/errors.ts'
import type { Cluster } from '../types/cluster.ts'
import { MESH_RESOURCES } from '../types/cluster.ts'
import type { Problem } from '../types/problem.ts'
import type { Tables } from '../state/tables.ts'
import { formatReachKey } from '../types/reach.ts'
import type { StatusReport } from './types.ts'
import type { AgentView, FrontendView } from './view.ts'

/** Failing frontends named one by one; the rest is a number, so that a full map does not bury everything else. */
const MAX_FRONTEND_PROBLEMS = 20

/** Everything a person should know about, worst causes first: sources, clusters, the kernel, then single objects. */
export function statusProblems(view: AgentView): Problem[] {
  const clusters = [...view.tables.clusters.values()]
  const frontends = frontendProblems(view)
  const rows: Problem[] = []
  for (const service of view.tables.services.values()) rows.push(...service.problems)
  const sets: Problem[] = []
  for (const set of view.tables.problems.values()) sets.push(...set.problems)
  return mergeProblems(
    unsyncedSources(view.waitingFor(), clusters),
    clusters.flatMap((cluster) => clusterProblems(view.tables, cluster)),
    frontends.problems,
    view.targets().flatMap((target) => targetProblem(target, frontends.errors) ?? []),
    sets,
    rows,
    view.problems(),
  )
}

/** Joins lists; the same complaint from two places is one complaint. */
export function mergeProblems(...lists: readonly (readonly Problem[])[]): Problem[] {
  const seen = new Map<string, Problem>()
  for (const list of lists) {
    for (const problem of list) {
      const key = `${problem.code}\0${problem.message}`
      if (!seen.has(key)) seen.set(key, problem)
    }
  }
  return [...seen.values()]
}

export function frontendProblem({ frontend, status }: FrontendView): Problem | undefined {
  if (status.state !== 'error') return undefined
  const { error } = status
  const code = (error as { code?: unknown }).code
  return {
    code: typeof code === 'string' ? code : 'frontend-failed',
    message: `${frontend.service} ${frontend.id} is not in the datapath: ${describeError(error)}`,
    hint: hintOf(error) ?? 'it is tried again on its own; the agent log has the details',
  }
}

function frontendProblems(view: AgentView): { problems: Problem[]; errors: Set<string> } {
  const problems: Problem[] = []
  const errors = new Set<string>()
  let failing = 0
  for (const row of view.frontends()) {
    if (row.status.state !== 'error') continue
    errors.add(describeError(row.status.error))
    if (++failing > MAX_FRONTEND_PROBLEMS) continue
    const problem = frontendProblem(row)
    if (problem !== undefined) problems.push(problem)
  }
  if (failing > MAX_FRONTEND_PROBLEMS) {
    problems.push({
      code: 'frontends-failed',
      message: `${failing - MAX_FRONTEND_PROBLEMS} more frontends are not in the datapath`,
      hint: 'weft explain service NAMESPACE/NAME tells about one of them',
    })
  }
  return { problems, errors }
}

/** A remote cluster that is known in the tables speaks for itself, in more words. */
function unsyncedSources(waiting: readonly string[], clusters: readonly Cluster[]): Problem[] {
  const own = new Set(clusters.map((cluster) => `mesh/${cluster.name}`))
  return waiting
    .filter((source) => !own.has(source))
    .map((source) => ({
      code: 'source-not-synced',
      message: `source ${source} has not delivered its first complete list; nothing found at start is removed until then`,
      hint: 'check that what it reads (manifest directory, etcd) exists and answers; the agent log names the last error',
    }))
}

/** What is wrong with a remote cluster: with its control plane, and with its backends as this node sees them. */
export function clusterProblems(tables: Tables, cluster: Cluster): Problem[] {
  const reach = tables.reach.get(cluster.name)
  const problem = clusterProblem(cluster, reach?.answers === true)
  const dead = [...(reach?.dead ?? [])]
  if (dead.length === 0) return problem === undefined ? [] : [problem]
  const unhealthy: Problem = {
    code: 'backends-unhealthy',
    message: `cluster ${cluster.name}: ${dead.length} of its backends do not answer this node: ${dead.slice(0, 3).map(formatReachKey).join(', ')}${dead.length > 3 ? ', …' : ''}`,
    hint: 'they are used only where no others are left; check those pods, and the network between them and this node',
  }
  return problem === undefined ? [unhealthy] : [problem, unhealthy]
}

function clusterProblem(cluster: Cluster, answers: boolean): Problem | undefined {
  const detail = cluster.message === '' ? '' : `: ${cluster.message}`
  if (cluster.unreachable) {
    return {
      code: 'cluster-unreachable',
      message: `cluster ${cluster.name} gives no sign of life${detail}`,
      hint: !cluster.synced.services
        ? 'no backends of it are known any more, or yet; check its etcd endpoints and the network in between'
        : answers
          ? 'its pods answer this node, so they are used until cacheTTL is over; check its etcd endpoints and its exporter'
          : 'its backends are used only where no others are left; check its etcd endpoints and the network in between',
    }
  }
  if (cluster.state === 'ready' && cluster.copy?.renewed === false) {
    return {
      code: 'cluster-copy-not-renewed',
      message: `cluster ${cluster.name}${detail}`,
      hint: 'its backends stay in use; weft kvstoremesh of this cluster must run, and reach the etcd of this cluster',
    }
  }
  if (cluster.state === 'ready' || cluster.state === 'removed') return undefined
  if (cluster.state === 'syncing') {
    const missing = MESH_RESOURCES.filter((resource) => !cluster.synced[resource])
    return {
      code: 'cluster-not-synced',
      message: `cluster ${cluster.name}: synchronization in progress for ${[...missing].sort().join(', ')}${detail}`,
      hint: 'its exporter (weft clustermesh-apiserver) must run and finish its first export',
    }
  }
  return {
    code: 'cluster-not-connected',
    message: `cluster ${cluster.name} is not connected${detail}`,
    hint: `check the endpoints and certificates in the configuration file named ${cluster.name}, and that its etcd answers`,
  }
}

function targetProblem(target: StatusReport['targets'][number], told: ReadonlySet<string>): Problem | undefined {
  if (target.failing === 0 || (target.lastError !== undefined && told.has(target.lastError))) return undefined
  return {
    code: 'target-failing',
    message: `${target.name}: ${target.failing} of ${target.desired} entries cannot be written: ${target.lastError ?? 'unknown error'}`,
    hint:
      target.hint ??
      'they are tried again on their own; weft status --verbose shows the numbers, the agent log every key',
  }
}
