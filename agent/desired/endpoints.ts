import type { EndpointEntry } from '../types/datapath.ts'
import type { Snapshot } from './snapshot.ts'
import { formatAddress } from '../types/address.ts'
import { RESERVED } from '../types/identity.ts'
import { podIdentity } from './pod-identity.ts'

/**
 * Addresses that live on this node, by printed address. The node's own come first: a pod can never take one over. Pods in the
 * host's network have no address of their own.
 */
export function desiredEndpoints(snap: Snapshot): Map<string, EndpointEntry> {
  const entries = new Map<string, EndpointEntry>()
  const own = snap.tables.nodes.get(`${snap.local.clusterName}/${snap.local.nodeName}`)
  const published = own?.addresses.map((each) => each.address) ?? []
  for (const address of [...snap.local.nodeAddresses, ...published]) {
    entries.set(formatAddress(address), { address, identity: RESERVED.host, isHost: true })
  }
  for (const pod of snap.tables.pods.by('node', snap.local.nodeName)) {
    if (pod.address === undefined || pod.hostNetwork) continue
    const key = formatAddress(pod.address)
    if (!entries.has(key)) entries.set(key, { address: pod.address, identity: podIdentity(snap, pod), isHost: false })
  }
  return entries
}
