import type { ClusterMeshReport, RemoteClusterReport } from '../api/types.ts'
import { formatDuration } from './duration.ts'

/** The ClusterMesh block of `cilium-dbg status`; clusters that are ready are detailed on demand only. */
export function renderClusterMesh(
  mesh: ClusterMeshReport,
  view: { readonly allClusters: boolean; readonly now: Date },
): string {
  const ready = mesh.clusters.filter((cluster) => cluster.ready).length
  const lines = [
    `ClusterMesh:   ${ready}/${mesh.clusters.length} remote clusters ready, ${mesh['num-global-services']} global-services`,
  ]
  for (const cluster of mesh.clusters) {
    if (!cluster.ready || view.allClusters) lines.push(...clusterLines(cluster, view.now))
  }
  return lines.map((line) => `${line}\n`).join('')
}

function clusterLines(cluster: RemoteClusterReport, now: Date): string[] {
  const { config, synced } = cluster
  const unreachable = cluster.unreachable ? ', unreachable' : ''
  return [
    `   ${cluster.name}: ${cluster.ready ? 'ready' : 'not-ready'}${unreachable}, ${cluster['num-nodes']} nodes, ` +
      `${cluster['num-endpoints']} endpoints, ${cluster['num-identities']} identities, ` +
      `${cluster['num-shared-services']} services, ${cluster['num-service-exports']} MCS-API service exports, ` +
      `${cluster['num-failures']} reconnections (last: ${lastFailure(cluster, now)})`,
    `   └  ${cluster.status}`,
    `   └  remote configuration: ${
      config.retrieved
        ? `expected=${config.required}, retrieved=true, cluster-id=${config['cluster-id']}, ` +
          `kvstoremesh=${config.kvstoremesh}, sync-canaries=${config['sync-canaries']}, ` +
          `service-exports=${config['service-exports']}`
        : 'expected=unknown, retrieved=unknown'
    }`,
    `   └  synchronization status: nodes=${synced.nodes}, endpoints=${synced.endpoints}, ` +
      `identities=${synced.identities}, services=${synced.services}`,
    ...copyLine(cluster, now),
    ...lossLine(cluster),
    ...certificateLine(cluster),
  ]
}

/** Only where a copy is read: `connected`, `no sign of life of the cluster for 1m3s: …`. */
function copyLine({ copy }: RemoteClusterReport, now: Date): string[] {
  if (copy === undefined) return []
  const since = copy['silent-since']
  const silence = since === undefined ? undefined : formatDuration((now.getTime() - Date.parse(since)) / 1000)
  const link =
    silence !== undefined
      ? `no sign of life of the cluster for ${silence}${copy.reason === undefined ? '' : `: ${copy.reason}`}`
      : copy.connected === true
        ? 'connected'
        : 'connection not told'
  return [`   └  kvstoremesh: ${copy.renewed ? '' : 'gives no sign of life; last word: '}${link}`]
}

/** Only when there were some. */
function lossLine({ losses = {} }: RemoteClusterReport): string[] {
  const parts = Object.entries(losses).map(([code, count]) => `${code}=${count}`)
  return parts.length === 0 ? [] : [`   └  losses: ${parts.sort().join(', ')}`]
}

/** Only where TLS is used: `client CN=remote until 2027-11-21 (ok)`. */
function certificateLine({ certificates = [] }: RemoteClusterReport): string[] {
  if (certificates.length === 0) return []
  const parts = certificates.map(
    (each) => `${each.role} ${each.subject} until ${each['not-after'].slice(0, 10)} (${each.verdict})`,
  )
  return [`   └  certificates: ${parts.join(', ')}`]
}

function lastFailure(cluster: RemoteClusterReport, now: Date): string {
  const at = cluster['last-failure']
  if (at === undefined) return 'never'
  return `${formatDuration((now.getTime() - Date.parse(at)) / 1000)} ago`
}
