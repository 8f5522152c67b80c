import type { ClusterMeshReport, RemoteClusterReport } from '../api/types.ts'

interface Spread {
  readonly min: number
  readonly avg: number
  readonly max: number
}

/** The part of `cilium clustermesh status -o json` that one agent knows: the counts are over this one node. */
export interface ConnectivityReport {
  readonly connectivity: {
    readonly global_services: Spread
    readonly connected: Spread
    readonly clusters: Readonly<Record<string, { readonly configured: Spread; readonly connected: Spread }>>
    readonly total: number
    readonly not_ready: number
    readonly errors: Readonly<Record<string, readonly string[]>>
  }
}

export function connectivityReport(mesh: ClusterMeshReport): ConnectivityReport {
  const ready = mesh.clusters.filter((cluster) => cluster.ready)
  const errors = mesh.clusters.filter((cluster) => !cluster.ready)
  return {
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
    },
  }
}

export function renderConnectivity({ connectivity }: ConnectivityReport): string {
  const names = Object.keys(connectivity.clusters)
  if (names.length === 0) return '🔌 No cluster connected\n'
  const lines = [
    connectivity.not_ready === 0
      ? `✅ All ${connectivity.total} nodes are connected to all clusters ${bracket(connectivity.connected)}`
      : `⚠️  ${connectivity.not_ready}/${connectivity.total} nodes are not connected to all clusters ${bracket(connectivity.connected)}`,
    '',
    '🔌 Cluster Connections:',
  ]
  for (const name of names) {
    const { configured, connected } = connectivity.clusters[name]!
    lines.push(
      `  - ${name}: ${configured.max}/${connectivity.total} configured, ${connected.max}/${connectivity.total} connected`,
    )
  }
  const { min, avg, max } = connectivity.global_services
  lines.push('', `🔀 Global services: [ min:${min} / avg:${avg.toFixed(1)} / max:${max} ]`)
  const errors = Object.entries(connectivity.errors).flatMap(([name, texts]) =>
    texts.map((text) => [name, text] as const),
  )
  if (errors.length > 0) lines.push('', `❌ ${errors.length} Errors:`)
  for (const [name, text] of errors) lines.push(`  ❌ this node is not connected to cluster ${name}: ${text}`)
  return lines.map((line) => `${line}\n`).join('')
}

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
  return `synchronization in progress for ${missing.join(', ')}`
}
