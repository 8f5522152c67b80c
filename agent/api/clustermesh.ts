import type { Cluster, ClusterCertificate, ClusterCopy } from '../types/cluster.ts'
import type { Tables } from '../state/tables.ts'
import type { CertificateStatus, ClusterMeshReport, CopyStatus, RemoteClusterReport } from './types.ts'

/** What `weft status` and `weft clustermesh status` say about the connected clusters, by name. */
export function clusterMeshReport(tables: Tables, ownCluster: string): ClusterMeshReport {
  const services = new Map<string, Set<string>>()
  const globalServices = new Set<string>()
  for (const set of tables.backends.values()) {
    if (set.cluster === ownCluster || set.shared === false) continue
    globalServices.add(set.service)
    const known = services.get(set.cluster)
    if (known === undefined) services.set(set.cluster, new Set([set.service]))
    else known.add(set.service)
  }
  const clusters = [...tables.clusters.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  return {
    clusters: clusters.map((cluster) =>
      clusterReport(cluster, {
        nodes: count(tables.nodes.by('cluster', cluster.name)),
        endpoints: tables.ips.count(cluster.name),
        identities: count(tables.identities.by('cluster', cluster.name)),
        services: services.get(cluster.name)?.size ?? 0,
        serviceExports: 0,
      }),
    ),
    'num-global-services': globalServices.size,
  }
}

/** What is known of a cluster, and how many records of each kind. */
export function clusterReport(
  cluster: Cluster,
  counts: Readonly<Record<'nodes' | 'endpoints' | 'identities' | 'services' | 'serviceExports', number>>,
): RemoteClusterReport {
  return {
    ...clusterState(cluster),
    'num-nodes': counts.nodes,
    'num-endpoints': counts.endpoints,
    'num-identities': counts.identities,
    'num-shared-services': counts.services,
    'num-service-exports': counts.serviceExports,
    'num-failures': cluster.failures,
    ...(cluster.losses === undefined ? {} : { losses: cluster.losses }),
    ...(cluster.copy === undefined ? {} : { copy: copyStatus(cluster.copy) }),
    ...(cluster.certificates === undefined || cluster.certificates.length === 0
      ? {}
      : { certificates: cluster.certificates.map(certificateReport) }),
    ...(cluster.lastFailure === undefined ? {} : { 'last-failure': new Date(cluster.lastFailure).toISOString() }),
  }
}

function copyStatus({ renewed, connected, silentSince, reason }: ClusterCopy): CopyStatus {
  return {
    renewed,
    ...(connected === undefined ? {} : { connected }),
    ...(silentSince === undefined ? {} : { 'silent-since': new Date(silentSince).toISOString() }),
    ...(reason === '' ? {} : { reason }),
  }
}

export function certificateReport({ notAfter, ...rest }: ClusterCertificate): CertificateStatus {
  return { ...rest, 'not-after': notAfter.toISOString() }
}

type ClusterFacts = Pick<
  RemoteClusterReport,
  'name' | 'ready' | 'connected' | 'unreachable' | 'status' | 'config' | 'synced'
>

function clusterState(cluster: Cluster): ClusterFacts {
  const connected = !cluster.unreachable && (cluster.state === 'syncing' || cluster.state === 'ready')
  return {
    name: cluster.name,
    ready: connected && cluster.state === 'ready',
    connected,
    unreachable: cluster.unreachable,
    status: etcdStatus(cluster, connected),
    config: {
      required: true,
      retrieved: cluster.config !== undefined,
      'cluster-id': cluster.id,
      kvstoremesh: cluster.config?.cached ?? false,
      'sync-canaries': cluster.config?.syncedCanaries ?? false,
      'service-exports': cluster.config?.serviceExports ?? 'unsupported',
    },
    synced: {
      nodes: cluster.synced.nodes,
      endpoints: cluster.synced.endpoints,
      identities: cluster.synced.identities,
      services: cluster.synced.services,
    },
  }
}

/**
 * The line `cilium-dbg status` prints for an etcd client. We read without leases or locks and judge a session by evidence
 * of life, not by asking endpoints for their status: hence the constant parts.
 */
function etcdStatus(cluster: Cluster, connected: boolean): string {
  const id = cluster.etcdClusterId === undefined ? '' : `, ID: ${cluster.etcdClusterId}`
  if (connected) {
    return `etcd: 1/1 connected, leases=0, lock leases=0, has-quorum=true: endpoint status checks are disabled${id}`
  }
  if (cluster.etcdClusterId === undefined && cluster.failures === 0) {
    return 'Waiting for initial connection to be established'
  }
  const reason = cluster.message === '' ? 'not able to connect to any etcd endpoints' : cluster.message
  return `Err: ${reason}${id}`
}

function count(rows: Iterable<unknown>): number {
  let n = 0
  for (const _ of rows) n++
  return n
}
