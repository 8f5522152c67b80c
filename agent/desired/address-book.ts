import type { Node, Pod } from '../types/node.ts'
import type { ReadTable } from '../state/table.ts'
import type { Snapshot } from './snapshot.ts'
import { formatAddress, formatCidr } from '../types/address.ts'
import { nodesByPriority } from './nodes.ts'

/** What nodes and pods claim about prefixes. Best claim first where several rows claim one. */
interface AddressBook {
  readonly nodeAddresses: ReadonlyMap<string, Node>
  readonly podCidrs: ReadonlyMap<string, Node>
}

/**
 * Derived from a table alone and kept until its revision changes, so a look-up per prefix costs a look-up. The result is the same
 * as deriving it anew each time.
 */
export function perRevision<V, I extends string, R>(
  tableOf: (snap: Snapshot) => ReadTable<V, I>,
  derive: (snap: Snapshot) => R,
): (snap: Snapshot) => R {
  const known = new WeakMap<ReadTable<V, I>, { revision: number; own: string; result: R }>()
  return (snap) => {
    const table = tableOf(snap)
    const own = `${snap.local.clusterName}/${snap.local.nodeName}`
    const last = known.get(table)
    if (last !== undefined && last.revision === table.revision && last.own === own) return last.result
    const result = derive(snap)
    known.set(table, { revision: table.revision, own, result })
    return result
  }
}

export const nodeBook = perRevision(
  (snap) => snap.tables.nodes,
  (snap): AddressBook => {
    const nodeAddresses = new Map<string, Node>()
    const podCidrs = new Map<string, Node>()
    for (const node of nodesByPriority(snap)) {
      for (const prefix of nodeAddressPrefixes(node)) if (!nodeAddresses.has(prefix)) nodeAddresses.set(prefix, node)
      for (const cidr of node.podCidrs) {
        const prefix = formatCidr(cidr)
        if (!podCidrs.has(prefix)) podCidrs.set(prefix, node)
      }
    }
    return { nodeAddresses, podCidrs }
  },
)

/** Pods of the own cluster that have an address of their own, by `a.b.c.d/32`; the one on this node wins, then the first by key. */
export const podBook = perRevision(
  (snap) => snap.tables.pods,
  (snap): ReadonlyMap<string, Pod> => {
    const pods = new Map<string, Pod>()
    for (const pod of snap.tables.pods.values()) {
      const prefix = podPrefix(pod)
      if (prefix === undefined) continue
      const other = pods.get(prefix)
      if (other === undefined || comparePods(snap, pod, other) < 0) pods.set(prefix, pod)
    }
    return pods
  },
)

export function comparePods(snap: Snapshot, a: Pod, b: Pod): number {
  const away = (pod: Pod): number => (pod.nodeName === snap.local.nodeName ? 0 : 1)
  return away(a) - away(b) || (a.key < b.key ? -1 : 1)
}

export function podPrefix(pod: Pod): string | undefined {
  return pod.address === undefined || pod.hostNetwork ? undefined : `${formatAddress(pod.address)}/32`
}

export function nodeAddressPrefixes(node: Node): string[] {
  const prefixes = new Set([`${formatAddress(node.address)}/32`])
  for (const { address } of node.addresses) prefixes.add(`${formatAddress(address)}/32`)
  return [...prefixes]
}
