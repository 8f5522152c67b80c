import type { CertificateStatus, RemoteClusterReport, StatusReport } from '../api/types.ts'
import type { Access } from './mesh/access.ts'
import { APISERVER } from './mesh/access.ts'

interface Spread {
  readonly min: number
  readonly avg: number
  readonly max: number
}

/** The part of `cilium clustermesh status -o json` that one agent knows: the counts are over this one node. */
export interface ConnectivityReport {
  /** `host:port` at which others reach this cluster's etcd; empty when nobody said. */
  readonly access_information: readonly string[]
  /** Of the exporter's etcd, where this cluster has one. */
  readonly service?: Access['service']
  /** The exporter itself; absent where none is beside the agent. */
  readonly apiserver?: Access['apiserver']
  readonly connectivity: {
    readonly global_services: Spread
    readonly connected: Spread
    readonly clusters: Readonly<Record<string, { readonly configured: Spread; readonly connected: Spread }>>
    readonly total: number
    readonly not_ready: number
    readonly errors: Readonly<Record<string, readonly string[]>>
    /** By cluster, of this side of the connection; clusters without TLS are left out. */
    readonly certificates: Readonly<Record<string, readonly CertificateStatus[]>>
  }
  /** Whether what is read of any cluster is a local copy. */
  readonly kvstoremesh: { readonly enabled: boolean }
  /** The node whose agent answered; absent when a kvstoremesh did. */
  readonly node?: string
}

/** A kvstoremesh answers, too: it is on no node that counts, and has clusters all the same. */
export type MeshStatus = Pick<StatusReport, 'clusterMesh'> & Partial<Pick<StatusReport, 'node' | 'cluster'>>

/** @param access absent where there is nobody to ask: a kvstoremesh exports nothing */
export function connectivityReport(status: MeshStatus, access: Access | undefined): ConnectivityReport {
  const mesh = status.clusterMesh
  const ready = mesh.clusters.filter((cluster) => cluster.ready)
  const errors = mesh.clusters.filter((cluster) => !cluster.ready)
  return {
    access_information: access?.endpoints ?? [],
    ...(access?.service === undefined ? {} : { service: access.service }),
    ...(access?.apiserver === undefined ? {} : { apiserver: access.apiserver }),
    connectivity: {
      global_services: spread(mesh['num-global-services']),
      connected: spread(ready.length),
      clusters: Object.fromEntries(
        mesh.clusters.map((cluster) => [
          cluster.name,
          { configured: spread(1), connected: spread(cluster.ready ? 1 : 0) },
        ]),
      ),
      total: 1,
      not_ready: errors.length > 0 ? 1 : 0,
      errors: Object.fromEntries(errors.map((cluster) => [cluster.name, [whyNotReady(cluster)]])),
      certificates: Object.fromEntries(
        mesh.clusters.flatMap(({ name, certificates }) =>
          certificates === undefined ? [] : [[name, certificates] as const],
        ),
      ),
    },
    kvstoremesh: { enabled: status.node === undefined || mesh.clusters.some((cluster) => cluster.config.kvstoremesh) },
    ...(status.node === undefined ? {} : { node: status.node.name }),
  }
}

export function renderConnectivity(report: ConnectivityReport): string {
  const { connectivity, node } = report
  const lines = node === undefined ? [] : accessLines(report)
  if (report.kvstoremesh.enabled) lines.push('ℹ️  KVStoreMesh is enabled')
  if (lines.length > 0) lines.push('')
  lines.push(...connectionLines(connectivity, node === undefined ? 'KVStoreMesh replicas' : 'nodes'))
  const errors = Object.entries(connectivity.errors).flatMap(([name, texts]) =>
    texts.map((text) => [name, text] as const),
  )
  lines.push(...certificateLines(connectivity))
  if (errors.length > 0) lines.push('', `❌ ${errors.length} Errors:`)
  for (const [name, text] of errors) {
    lines.push(`  ❌ ${node ?? 'kvstoremesh'} is not connected to cluster ${name}: ${text}`)
    if (text.startsWith(SYNCING)) continue
    lines.push(`     💡 Run "weft troubleshoot clustermesh ${name}" to find out where the way ends`)
  }
  return lines.map((line) => `${line}\n`).join('')
}

/** What a Deployment says elsewhere, the exporter says here: it is a process, on one node or more. */
function accessLines({ service, access_information: access, apiserver }: ConnectivityReport): string[] {
  const lines: string[] = []
  if (service !== undefined) lines.push(`✅ Service "${APISERVER}" of type "${service.type}" found`)
  if (access.length > 0) lines.push('✅ Cluster access information is available:')
  for (const each of access) lines.push(`  - ${each}`)
  if (apiserver === undefined) return [...lines, `ℹ️  No ${APISERVER} runs beside this agent`]
  lines.push(apiserver.ready ? `✅ ${APISERVER} is ready` : `❌ ${APISERVER} is not ready`)
  return [...lines, ...apiserver.problems.map((problem) => `  ⚠️  ${problem}`)]
}

/** Only those that somebody has to look after. */
function certificateLines({ certificates }: Connectivity): string[] {
  const lines = Object.entries(certificates).flatMap(([name, all]) =>
    all
      .filter(({ state }) => state !== 'ok')
      .map(({ role, subject, verdict }) => {
        const what = role === 'ca' ? 'CA' : 'client certificate'
        return `⚠️  The ${what} for cluster ${name} (${subject}) ${verdict}`
      }),
  )
  return lines.length === 0 ? [] : ['', ...lines]
}

function connectionLines(
  { clusters, connected, total, not_ready, global_services }: Connectivity,
  who: string,
): string[] {
  const names = Object.keys(clusters)
  if (names.length === 0) return ['🔌 No cluster connected']
  const { min, avg, max } = global_services
  return [
    not_ready === 0
      ? `✅ All ${total} ${who} are connected to all clusters ${bracket(connected)}`
      : `⚠️  ${not_ready}/${total} ${who} are not connected to all clusters ${bracket(connected)}`,
    '',
    '🔌 Cluster Connections:',
    ...Object.entries(clusters).map(
      ([name, each]) =>
        `  - ${name}: ${each.configured.max}/${total} configured, ${each.connected.max}/${total} connected`,
    ),
    '',
    `🔀 Global services: [ min:${min} / avg:${avg.toFixed(1)} / max:${max} ]`,
  ]
}

type Connectivity = ConnectivityReport['connectivity']

function spread(value: number): Spread {
  return { min: value, avg: value, max: value }
}

function bracket({ min, avg, max }: Spread): string {
  return `[min:${min} / avg:${avg.toFixed(1)} / max:${max}]`
}

function whyNotReady(cluster: RemoteClusterReport): string {
  if (!cluster.connected) return cluster.status
  if (!cluster.config.retrieved) return 'remote cluster configuration required but not found'
  const missing = (['endpoints', 'identities', 'nodes', 'services'] as const).filter((kind) => !cluster.synced[kind])
  return `${SYNCING} for ${missing.join(', ')}`
}

/** Takes its time, and nothing is wrong with the connection. */
const SYNCING = 'synchronization in progress'
