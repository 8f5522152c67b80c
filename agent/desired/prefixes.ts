import type { Change } from '../state/tables.ts'
import type { Node } from '../types/node.ts'
import type { Snapshot } from './snapshot.ts'
import { formatCidr } from '../types/address.ts'
import { nodeAddressPrefixes, podPrefix } from './address-book.ts'
import { hostPrefix } from './ipcache.ts'

const NONE: readonly string[] = []

/**
 * Which prefixes of the ipcache a change of a table concerns.
 *
 * A change names the row that is there now; what the row claimed before is gone. So this remembers, for nodes, pods and
 * clusters, what they concerned last time, and answers with both. It must be shown every change, in order.
 */
export class PrefixTracker {
  readonly #last = new Map<string, readonly string[]>()
  readonly #clusterIds = new Map<string, number>()

  /** What is claimed without any row: this node's own addresses. */
  initial(snap: Snapshot): readonly string[] {
    return snap.local.nodeAddresses.map(hostPrefix)
  }

  prefixesOf(snap: Snapshot, change: Change): readonly string[] {
    switch (change.table) {
      case 'ips':
        return [change.key.slice(change.key.indexOf('/') + 1)]
      case 'nodes':
        return this.#both(`node ${change.key}`, ofNode(snap, snap.tables.nodes.get(change.key)))
      case 'pods': {
        const pod = snap.tables.pods.get(change.key)
        const prefix = pod === undefined ? undefined : podPrefix(pod)
        return this.#both(`pod ${change.key}`, prefix === undefined ? NONE : [prefix])
      }
      case 'clusters':
        return this.#ofCluster(snap, change.key)
      default:
        return NONE
    }
  }

  #both(row: string, now: readonly string[]): readonly string[] {
    const before = this.#last.get(row) ?? NONE
    if (now.length === 0) this.#last.delete(row)
    else this.#last.set(row, now)
    return before.length === 0 ? now : [...new Set([...before, ...now])]
  }

  /** Entries carry the cluster's id: all of them when it becomes known or another, none when anything else changed. */
  #ofCluster(snap: Snapshot, name: string): readonly string[] {
    const id = snap.tables.clusters.get(name)?.id ?? 0
    if ((this.#clusterIds.get(name) ?? 0) === id) return NONE
    this.#clusterIds.set(name, id)
    const prefixes = new Set<string>()
    for (const node of snap.tables.nodes.by('cluster', name))
      for (const prefix of ofNode(snap, node)) prefixes.add(prefix)
    for (const entry of snap.tables.ips.values()) if (entry.cluster === name) prefixes.add(formatCidr(entry.prefix))
    return [...prefixes]
  }
}

/** A node's own prefixes, and those of its pods, which are reached through its address. */
function ofNode(snap: Snapshot, node: Node | undefined): readonly string[] {
  if (node === undefined) return NONE
  const prefixes = [...nodeAddressPrefixes(node), ...node.podCidrs.map(formatCidr)]
  if (node.cluster !== snap.local.clusterName) return prefixes
  for (const pod of snap.tables.pods.by('node', node.name)) {
    const prefix = podPrefix(pod)
    if (prefix !== undefined) prefixes.push(prefix)
  }
  return prefixes
}
