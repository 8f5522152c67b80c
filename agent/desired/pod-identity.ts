import type { Identity } from '../types/identity.ts'
import type { Pod } from '../types/node.ts'
import type { Snapshot } from './snapshot.ts'
import { RESERVED } from '../types/identity.ts'
import { perRevision, podPrefix } from './address-book.ts'
import { assignIdentities, identityLabels, identityText } from './identities.ts'

/** A row never changes, so neither does the text made of it. */
const texts = new WeakMap<Pod, string>()

function textOf(snap: Snapshot, pod: Pod): string {
  let text = texts.get(pod)
  if (text === undefined) texts.set(pod, (text = identityText(pod, snap.local.clusterName)))
  return text
}

/** Identities of the own cluster's pods by label text. Every node and the exporter come to the same numbers by themselves. */
const byText = perRevision(
  (snap) => snap.tables.pods,
  (snap): ReadonlyMap<string, Identity> => {
    const pods = new Map<string, Pod>()
    for (const pod of snap.tables.pods.values()) if (podPrefix(pod) !== undefined) pods.set(textOf(snap, pod), pod)
    const ids = assignIdentities(pods.keys(), snap.local.clusterId)
    const cluster = snap.local.clusterName
    return new Map(
      [...ids].map(([text, id]) => [text, { id, cluster, labels: identityLabels(pods.get(text)!, cluster) }]),
    )
  },
)

/** Identities of the own cluster's pods. */
export function ownIdentities(snap: Snapshot): Iterable<Identity> {
  return byText(snap).values()
}

/**
 * Identity of a pod of the own cluster: what the cluster has published for its address, else the one its labels lead to. A pod
 * for which no number is left is `init`: an identity that is not known must not read as world, which policies commonly allow.
 */
export function podIdentity(snap: Snapshot, pod: Pod): Identity['id'] {
  const prefix = podPrefix(pod)
  if (prefix === undefined) return RESERVED.host
  const published = snap.tables.ips.get(`${snap.local.clusterName}/${prefix}`)?.identity
  return published ?? byText(snap).get(textOf(snap, pod))?.id ?? RESERVED.init
}
