import type { CertificateStatus, ClusterMeshReport, RemoteClusterReport } from '../types.ts'
import type { Sample } from './metric.ts'
import { counter, gauge, sample } from './metric.ts'

const PREFIX = 'weft_clustermesh'
const REMOTE = `${PREFIX}_remote_cluster`

/** Named as Cilium's, where it has them, with units and `_total` added. */
export const MESH_METRICS = {
  clusters: gauge(`${PREFIX}_remote_clusters`, 'Clusters that are configured.'),
  ready: gauge(`${REMOTE}_readiness_status`, '1 when connected and all there is has been read.', 'target_cluster'),
  unreachable: gauge(`${REMOTE}_unreachable`, '1 while there is no sign of life.', 'target_cluster'),
  synced: gauge(
    `${REMOTE}_synced`,
    '1 when all records of the kind were read once, 0 before.',
    'target_cluster',
    'resource',
  ),
  failures: counter(`${REMOTE}_failures_total`, 'Connections that failed or ended.', 'target_cluster'),
  losses: counter(
    `${REMOTE}_losses_total`,
    'What happened to the connection, by code: why sessions ended, unreachable, expired, compacted.',
    ...['target_cluster' as const, 'reason' as const],
  ),
  lastFailure: gauge(
    `${REMOTE}_last_failure_timestamp_seconds`,
    'When a connection failed last; absent for never.',
    'target_cluster',
  ),
  nodes: gauge(`${REMOTE}_nodes`, 'Nodes known of the cluster.', 'target_cluster'),
  services: gauge(`${REMOTE}_services`, 'Services it shares.', 'target_cluster'),
  endpoints: gauge(`${REMOTE}_endpoints`, 'Addresses (ipcache entries) known of the cluster.', 'target_cluster'),
  identities: gauge(`${REMOTE}_identities`, 'Identities known of the cluster.', 'target_cluster'),
} as const

export const CERTIFICATE_METRIC = gauge(
  'weft_tls_certificate_not_after_seconds',
  'When a certificate for the etcd of a cluster ends: ca and client are files here, server is what the etcd shows.',
  ...['cluster' as const, 'role' as const, 'subject' as const],
)

export function* meshSamples(mesh: ClusterMeshReport): Generator<Sample> {
  yield sample(MESH_METRICS.clusters, mesh.clusters.length, {})
  for (const cluster of mesh.clusters) yield* clusterSamples(cluster)
}

function* clusterSamples(cluster: RemoteClusterReport): Generator<Sample> {
  const labels = { target_cluster: cluster.name }
  const failed = cluster['last-failure']
  yield sample(MESH_METRICS.ready, Number(cluster.ready), labels)
  yield sample(MESH_METRICS.unreachable, Number(cluster.unreachable), labels)
  for (const [resource, synced] of Object.entries(cluster.synced)) {
    yield sample(MESH_METRICS.synced, Number(synced), { ...labels, resource })
  }
  yield sample(MESH_METRICS.failures, cluster['num-failures'], labels)
  for (const [reason, count] of Object.entries(cluster.losses ?? {})) {
    yield sample(MESH_METRICS.losses, count, { ...labels, reason })
  }
  if (failed !== undefined) yield sample(MESH_METRICS.lastFailure, Date.parse(failed) / 1000, labels)
  yield sample(MESH_METRICS.nodes, cluster['num-nodes'], labels)
  yield sample(MESH_METRICS.services, cluster['num-shared-services'], labels)
  yield sample(MESH_METRICS.endpoints, cluster['num-endpoints'], labels)
  yield sample(MESH_METRICS.identities, cluster['num-identities'], labels)
  yield* certificateSamples(cluster.name, cluster.certificates ?? [])
}

/** Of several CAs with one name, the one that ends last: an old one beside its successor is only left over. */
export function* certificateSamples(cluster: string, certificates: readonly CertificateStatus[]): Generator<Sample> {
  const ends = new Map<string, { readonly labels: { role: string; subject: string }; readonly end: number }>()
  for (const { role, subject, 'not-after': notAfter } of certificates) {
    const key = `${role} ${subject}`
    const end = Date.parse(notAfter) / 1000
    if (end > (ends.get(key)?.end ?? -Infinity)) ends.set(key, { labels: { role, subject }, end })
  }
  for (const { labels, end } of ends.values()) yield sample(CERTIFICATE_METRIC, end, { cluster, ...labels })
}
