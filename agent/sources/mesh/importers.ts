import type { KeyValue } from '../../lib/etcd-wire.ts'
import type { MeshResource } from '../../types/cluster.ts'
import type { Node } from '../../types/node.ts'
import type { Writer } from '../../state/writer.ts'
import { formatCidr } from '../../types/address.ts'
import { identityRange, RESERVED } from '../../types/identity.ts'
import { serviceName } from '../../types/service.ts'
import { WireError } from '../../types/wire/go-json.ts'
import { CLUSTER_LABEL, decodeIdentity } from '../../types/wire/identity.ts'
import { decodeIp, formatPrefix } from '../../types/wire/ip.ts'
import { IpScan } from '../../types/wire/ip-scan.ts'
import type { NodeRecord } from '../../types/wire/node.ts'
import { decodeNode } from '../../types/wire/node.ts'
import { decodeService } from '../../types/wire/service.ts'

/** Whose records are read: the name it is configured under and the id its cluster-config gave. */
export interface Peer {
  readonly name: string
  readonly id: number
}

/**
 * One resource's way from the wire to the tables. `put` throws WireError for a record that must not be believed and leaves
 * the row as it was: what the peer said last in a valid way stays until it says something valid or removes the key.
 */
export interface Importer {
  put(peer: Peer, tail: string, value: string): void
  delete(peer: Peer, tail: string): void
  /** As `put`, of a key as it was received, whose tail begins at `tailAt`; false when it is not written as usual. */
  take?(peer: Peer, kv: KeyValue, tailAt: number): boolean
}

export function createImporters(writer: Writer): Readonly<Record<MeshResource, Importer>> {
  return {
    services: servicesImporter(writer),
    nodes: nodesImporter(writer),
    endpoints: endpointsImporter(writer),
    identities: identitiesImporter(writer),
  }
}

/** First identity that is neither reserved nor well known. */
const FIRST_ALLOCATED = 256

function expectPeer(peer: Peer, cluster: string, clusterId: number): void {
  if (cluster !== peer.name) throw new WireError(`names cluster "${cluster}" instead of "${peer.name}"`)
  if (clusterId !== peer.id) throw new WireError(`has cluster id ${clusterId} instead of ${peer.id}`)
}

function servicesImporter(writer: Writer): Importer {
  const keyOf = (peer: Peer, tail: string): string => `${peer.name}/${tail}`
  return {
    put(peer, tail, value) {
      const record = decodeService(value)
      expectPeer(peer, record.cluster, record.clusterId)
      if (record.namespace === '' || record.name === '' || `${record.namespace}/${record.name}` !== tail) {
        throw new WireError(`names service "${record.namespace}/${record.name}" instead of "${tail}"`)
      }
      writer.upsertBackends({
        key: keyOf(peer, tail),
        service: serviceName(record.namespace, record.name),
        cluster: peer.name,
        endpoints: record.backends,
        // Some exporters leave the record there and say so in it: it is shown, and never selected.
        ...(record.shared ? {} : { shared: false }),
        origin: `mesh/${peer.name}`,
      })
    },
    delete: (peer, tail) => writer.deleteBackends(keyOf(peer, tail)),
  }
}

function nodesImporter(writer: Writer): Importer {
  return {
    put(peer, tail, value) {
      const record = decodeNode(value)
      expectPeer(peer, record.cluster, record.clusterId)
      if (record.name !== tail) throw new WireError(`names node "${record.name}" instead of "${tail}"`)
      writer.upsertNode(toNode(record))
    },
    delete: (peer, tail) => writer.deleteNode(`${peer.name}/${tail}`),
  }
}

function toNode(record: NodeRecord): Node {
  const { addresses } = record
  const main =
    addresses.find(({ type }) => type === 'InternalIP') ??
    addresses.find(({ type }) => type === 'ExternalIP') ??
    addresses[0]
  if (main === undefined) throw new WireError('has no IPv4 address')
  return {
    key: `${record.cluster}/${record.name}`,
    cluster: record.cluster,
    name: record.name,
    address: main.address,
    addresses,
    podCidrs: record.podCidrs,
    labels: record.labels,
    ...(record.takesDsr === true ? { takesDsr: true } : {}),
    zone: record.labels['topology.kubernetes.io/zone'],
    origin: `mesh/${record.cluster}`,
  }
}

/** What the identity of a peer's address is to us. */
function foreignIdentity(peer: Peer, identity: number): number {
  const { first, last } = identityRange(peer.id)
  if (identity >= FIRST_ALLOCATED && (identity < first || identity > last)) {
    throw new WireError(`has identity ${identity}, which is outside ${first}-${last}`)
  }
  // What is "host" to the peer is one of its nodes to us.
  return identity === RESERVED.host ? RESERVED.remoteNode : identity
}

function endpointsImporter(writer: Writer): Importer {
  const scan = new IpScan()
  return {
    take(peer, kv, tailAt) {
      if (!scan.scan(kv.bytes, kv.valueAt, kv.valueEnd)) return false
      if (!isRepeated(kv.bytes, tailAt, kv.keyEnd, scan.ipAt, scan.ipEnd)) return false
      scan.identity = foreignIdentity(peer, scan.identity)
      writer.upsertIpFields(peer.name, scan)
      return true
    },
    put(peer, tail, value) {
      const record = decodeIp(value)
      if (record === undefined) return
      const printed = formatPrefix(record.prefix)
      if (printed !== tail) throw new WireError(`describes "${printed}" instead of "${tail}"`)
      writer.upsertIp({
        key: `${peer.name}/${formatCidr(record.prefix)}`,
        cluster: peer.name,
        prefix: record.prefix,
        identity: foreignIdentity(peer, record.identity),
        hostAddress: record.hostAddress,
        namespace: record.namespace === '' ? undefined : record.namespace,
        podName: record.podName === '' ? undefined : record.podName,
      })
    },
    delete: (peer, tail) => writer.deleteIp(`${peer.name}/${tail.includes('/') ? tail : `${tail}/32`}`),
  }
}

/** Whether two parts of `bytes` are the same. */
function isRepeated(bytes: Buffer, at: number, end: number, otherAt: number, otherEnd: number): boolean {
  if (end - at !== otherEnd - otherAt) return false
  for (let i = at, j = otherAt; i < end; i++, j++) if (bytes[i] !== bytes[j]) return false
  return true
}

function identitiesImporter(writer: Writer): Importer {
  return {
    put(peer, tail, value) {
      const id = identityId(tail)
      const { first, last } = identityRange(peer.id)
      if (id === undefined || id < first || id > last) {
        throw new WireError(`has number "${tail}", which is outside ${first}-${last}`)
      }
      const labels = decodeIdentity(value)
      const own = `${CLUSTER_LABEL}=${peer.name}`
      const claims = labels.filter((label) => CLAIM.test(label))
      if (claims.length !== 1 || claims[0] !== own)
        throw new WireError(`lacks the label ${own}, or has another like it`)
      writer.upsertIdentity({ id, cluster: peer.name, labels })
    },
    delete(peer, tail) {
      const id = identityId(tail)
      const { first, last } = identityRange(peer.id)
      if (id !== undefined && id >= first && id <= last) writer.deleteIdentity(id)
    },
  }
}

/** The cluster label from any source: only one may exist, and it must be Kubernetes' own. */
const CLAIM = /^[^:=]*:io\.cilium\.k8s\.policy\.cluster(=|$)/

function identityId(tail: string): number | undefined {
  return /^[1-9]\d{0,9}$/.test(tail) ? Number(tail) : undefined
}
