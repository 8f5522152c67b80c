import type { AgentView, FrontendView } from '../api/view.ts'
import type { ConfigValue, StatusReport } from '../api/types.ts'
import type { Clock } from '../lib/clock.ts'
import type { Pipelines } from './pipelines.ts'
import type { Reconciler } from '../reconcile/reconciler.ts'
import type { SyncGates } from '../state/sync.ts'
import type { Tables } from '../state/tables.ts'
import type { Frontend } from '../types/frontend.ts'
import { ownIdentities, podIdentity } from '../desired/pod-identity.ts'
import { describeError, hintOf } from '../lib/errors.ts'
import { formatAddress, formatCidr } from '../types/address.ts'
import type { Snapshot } from '../desired/snapshot.ts'

export interface ViewOptions {
  readonly version: string
  readonly values: readonly ConfigValue[]
  readonly tables: Tables
  readonly snapshot: Snapshot
  readonly sync: SyncGates
  readonly pipelines: Pipelines
  readonly clock: Clock
  /** Service id in the maps. */
  idOf(frontendId: string): number | undefined
  datapath(): StatusReport['datapath']
}

/** The running agent as the API reads it: every call looks at the live objects, nothing is kept twice. */
export function agentView(options: ViewOptions): AgentView {
  const { version, values, tables, snapshot, sync, pipelines, clock } = options
  const { local } = snapshot
  const view = (frontend: Frontend): FrontendView => ({
    frontend,
    id: options.idOf(frontend.id),
    status: pipelines.lb.status(frontend.id),
  })
  return {
    version,
    tables,
    ownIdentities: () => ownIdentities(snapshot),
    identityOf: (pod) => podIdentity(snapshot, pod),
    config: values,
    cluster: { name: local.clusterName, id: local.clusterId },
    get node() {
      const podCidrs = tables.nodes.get(`${local.clusterName}/${local.nodeName}`)?.podCidrs ?? []
      return {
        name: local.nodeName,
        address: formatAddress(local.nodeAddresses[0]!),
        podCidrs: podCidrs.map(formatCidr),
      }
    },
    startedAt: clock.date().getTime(),
    now: () => clock.date().getTime(),
    *frontends() {
      for (const [, frontend] of pipelines.lb.desiredEntries()) yield view(frontend)
    },
    *frontendsOf(service) {
      for (const frontend of pipelines.frontendsOf(service)) yield view(frontend)
    },
    problems: () => [...pipelines.problems()],
    problemsOf: (service) => pipelines.problemsOf(service),
    waitingFor: () => sync.closed(),
    targets: () => [
      targetReport('lb', pipelines.lb),
      targetReport('endpoints', pipelines.endpoints),
      targetReport('ipcache', pipelines.ipcache),
      ...(pipelines.podHooks === undefined ? [] : [targetReport('pod-hooks', pipelines.podHooks)]),
      ...(pipelines.routes === undefined ? [] : [targetReport('routes', pipelines.routes)]),
    ],
    datapath: () => options.datapath(),
  }
}

function targetReport<V extends object>(name: string, reconciler: Reconciler<V>): StatusReport['targets'][number] {
  const { lastError, ...stats } = reconciler.stats()
  if (lastError === undefined) return { name, ...stats }
  const hint = hintOf(lastError)
  return { name, ...stats, lastError: describeError(lastError), ...(hint === undefined ? {} : { hint }) }
}
