import type { Address, Cidr } from '../types/address.ts'
import type { IpcacheEntry } from '../types/datapath.ts'
import type { IpClaim } from '../types/identity.ts'
import type { Node } from '../types/node.ts'
import type { Snapshot } from './snapshot.ts'
import { formatAddress, parseCidr } from '../types/address.ts'
import { RESERVED } from '../types/identity.ts'
import { nodeBook, podBook } from './address-book.ts'
import { clusterIdOf, compareClusters, isOwnNode } from './nodes.ts'
import { podIdentity } from './pod-identity.ts'

/** Where a claim comes from; of one cluster's claims the first kind counts. */
const KIND = { ownAddress: 0, nodeAddress: 1, pod: 2, published: 3, podCidr: 4 } as const

interface Claim {
  readonly cluster: string
  readonly kind: number
  readonly identity: number
  readonly tunnel: Address | undefined
  readonly takesDsr?: boolean
}

/**
 * What the datapath is to know about one prefix, printed as `10.0.0.46/32`; undefined when nobody claims it.
 *
 * Claims of the own cluster come before those of the mesh, those before each other by cluster name: a remote cluster can
 * never take over one of our addresses. Within a cluster: node address, pod, published address, pod CIDR. Node addresses are
 * reached directly, so they have no tunnel peer; a pod CIDR leads unknown pods to their node as world.
 */
export function desiredIpcache(snap: Snapshot, prefix: string): IpcacheEntry | undefined {
  const cidr = parseCidr(prefix)
  if (cidr === undefined) return undefined
  const best = bestClaim(snap, prefix, cidr)
  if (best === undefined) return undefined
  return {
    prefix: cidr,
    identity: best.identity,
    tunnel: best.tunnel,
    clusterId: clusterIdOf(snap, best.cluster),
    remoteCluster: best.cluster !== snap.local.clusterName,
    isNode: best.kind <= KIND.nodeAddress,
    takesDsr: best.takesDsr === true,
  }
}

function bestClaim(snap: Snapshot, prefix: string, cidr: Cidr): Claim | undefined {
  let best: Claim | undefined
  const offer = (claim: Claim | undefined): void => {
    if (claim === undefined) return
    const order = best === undefined ? -1 : compareClusters(snap, claim.cluster, best.cluster) || claim.kind - best.kind
    if (order < 0) best = claim
  }
  if (cidr.bits === 32) {
    offer(ownAddress(snap, cidr.address))
    offer(nodeAddress(snap, nodeBook(snap).nodeAddresses.get(prefix)))
    offer(pod(snap, prefix))
  }
  for (const entry of snap.tables.ips.claims(cidr)) offer(published(snap, entry))
  offer(podCidr(snap, nodeBook(snap).podCidrs.get(prefix)))
  return best
}

function ownAddress(snap: Snapshot, address: Address): Claim | undefined {
  if (!snap.local.nodeAddresses.includes(address)) return undefined
  return { cluster: snap.local.clusterName, kind: KIND.ownAddress, identity: RESERVED.host, tunnel: undefined }
}

function nodeAddress(snap: Snapshot, node: Node | undefined): Claim | undefined {
  if (node === undefined) return undefined
  const identity = isOwnNode(snap, node) ? RESERVED.host : RESERVED.remoteNode
  return { cluster: node.cluster, kind: KIND.nodeAddress, identity, tunnel: undefined, takesDsr: takesDsr(snap, node) }
}

/** Every agent of ours takes it, whatever its own mode. A remote cluster may have agents of another kind: it says so where its do. */
function takesDsr(snap: Snapshot, node: Node): boolean {
  if (node.cluster === snap.local.clusterName) return true
  if (snap.lb.dsrRemoteClusters === 'advertised') return node.takesDsr === true
  return snap.lb.dsrRemoteClusters === 'always'
}

function pod(snap: Snapshot, prefix: string): Claim | undefined {
  const row = podBook(snap).get(prefix)
  if (row === undefined) return undefined
  const cluster = snap.local.clusterName
  const away = row.nodeName !== undefined && row.nodeName !== snap.local.nodeName
  const tunnel = away ? snap.tables.nodes.get(`${cluster}/${row.nodeName}`)?.address : undefined
  return { cluster, kind: KIND.pod, identity: podIdentity(snap, row), tunnel }
}

function published(snap: Snapshot, entry: IpClaim): Claim {
  // This node's own pods are delivered, not encapsulated.
  const here = entry.hostAddress !== undefined && snap.local.nodeAddresses.includes(entry.hostAddress)
  return {
    cluster: entry.cluster,
    kind: KIND.published,
    identity: entry.identity,
    tunnel: here ? undefined : entry.hostAddress,
  }
}

function podCidr(snap: Snapshot, node: Node | undefined): Claim | undefined {
  if (node === undefined || isOwnNode(snap, node)) return undefined
  return { cluster: node.cluster, kind: KIND.podCidr, identity: RESERVED.world, tunnel: node.address }
}

/** Key of the ipcache reconciler's owner for an address. */
export function hostPrefix(address: Address): string {
  return `${formatAddress(address)}/32`
}
