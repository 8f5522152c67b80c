import type { Pod } from '../types/node.ts'
import { identityRange } from '../types/identity.ts'
import { CLUSTER_LABEL, encodeIdentity, sortLabels } from '../types/wire/identity.ts'

/**
 * Security identities of the own cluster's pods: a number for each distinct set of labels.
 *
 * Numbers are not handed out by a counter but follow from the label text, so that whoever sees the same pods comes to the same
 * numbers without asking: the hash of the text picks a place in the cluster's range; sets are placed in the order of
 * their texts, and one whose place is taken moves on to the next free one. A set that already has a number keeps it, and
 * numbers of sets that went away are not given to others while they are still known (peers may still enforce by them).
 */
export function assignIdentities(
  texts: Iterable<string>,
  clusterId: number,
  existing: ReadonlyMap<string, number> = new Map(),
): ReadonlyMap<string, number> {
  const { first, last } = allocationRange(clusterId)
  const result = new Map<string, number>()
  const taken = new Set(existing.values())
  const missing: string[] = []
  for (const text of new Set(texts)) {
    const known = existing.get(text)
    if (known !== undefined && known >= first && known <= last) result.set(text, known)
    else missing.push(text)
  }
  const size = last - first + 1
  for (const text of missing.sort()) {
    let place = hash(text) % size
    for (let tries = 0; taken.has(first + place); tries++) {
      if (tries === size) return result // every number is in use: the pods left over stay without one
      place = (place + 1) % size
    }
    taken.add(first + place)
    result.set(text, first + place)
  }
  return result
}

/** Without the range's first number, which Cilium counts as unused; 256-65535 for a cluster that is in no mesh. */
function allocationRange(clusterId: number): { first: number; last: number } {
  const { first, last } = identityRange(clusterId)
  return { first: clusterId === 0 ? 256 : first + 1, last }
}

/** FNV-1a over UTF-8, then mixed so that texts that differ in their last letters do not land side by side. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}

const DROPPED = [
  /^io\.kubernetes/,
  /^kubernetes\.io/,
  /^[^/]*beta\.kubernetes\.io/,
  /^k8s\.io/,
  /^io\.cilium\.k8s/,
  /^pod-template-(generation|hash)$/,
  /^controller-(revision-hash|uid)$/,
  /^statefulset\.kubernetes\.io\/pod-name$/,
  /^apps\.kubernetes\.io\/pod-index$/,
  /^batch\.kubernetes\.io\/(controller-uid|job-completion-index|job-name)$/,
  /^annotation\./,
  /^etcd_node$/,
]

/**
 * The labels that make up a pod's identity, in wire order: its own as far as they say what it is (not which replica of
 * what), its namespace, service account and cluster. The last ones cannot be spoofed by labels of the same name.
 */
export function identityLabels(pod: Pod, clusterName: string): readonly string[] {
  const labels = [
    `k8s:io.kubernetes.pod.namespace=${pod.namespace}`,
    `k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=${pod.namespace}`,
    `k8s:io.cilium.k8s.policy.serviceaccount=${pod.serviceAccount}`,
    `${CLUSTER_LABEL}=${clusterName}`,
  ]
  for (const [key, value] of Object.entries(pod.labels)) {
    if (!DROPPED.some((pattern) => pattern.test(key))) labels.push(`k8s:${key}=${value}`)
  }
  return sortLabels(labels)
}

export function identityText(pod: Pod, clusterName: string): string {
  return encodeIdentity(identityLabels(pod, clusterName))
}
