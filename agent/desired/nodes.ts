import type { Node } from '../types/node.ts'
import type { Snapshot } from './snapshot.ts'

/** Who comes first when two rows claim one thing: the own cluster, then clusters by name. Negative when `a` does. */
export function compareClusters(snap: Snapshot, a: string, b: string): number {
  if (a === b) return 0
  if (a === snap.local.clusterName) return -1
  if (b === snap.local.clusterName) return 1
  return a < b ? -1 : 1
}

export function isOwnNode(snap: Snapshot, node: Node): boolean {
  return node.cluster === snap.local.clusterName && node.name === snap.local.nodeName
}

/** All nodes, in the order in which their claims count. */
export function nodesByPriority(snap: Snapshot): readonly Node[] {
  return [...snap.tables.nodes.values()].sort(
    (a, b) => compareClusters(snap, a.cluster, b.cluster) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  )
}

export function clusterIdOf(snap: Snapshot, cluster: string): number {
  return cluster === snap.local.clusterName ? snap.local.clusterId : (snap.tables.clusters.get(cluster)?.id ?? 0)
}
