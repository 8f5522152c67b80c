import type { Endpoint } from '../types/backend.ts'
import type { EndpointPort } from '../types/backend.ts'
import type { Pod } from '../types/node.ts'
import type { ServiceName } from '../types/service.ts'
import type { WireAddress } from '../types/wire/service.ts'
import type { Change, Tables } from '../state/tables.ts'
import { resourcePrefix } from '../types/wire/keys.ts'
import { encodeIp, formatPrefix } from '../types/wire/ip.ts'
import { encodeNode } from '../types/wire/node.ts'
import { encodeService } from '../types/wire/service.ts'
import { identityText } from './identities.ts'

/** What the records are made from. */
export interface MeshSnapshot {
  readonly tables: Tables
  readonly cluster: { readonly name: string; readonly id: number }
  /** Numbers of the label sets in use, by their text. */
  readonly identities: ReadonlyMap<string, number>
}

/** Owner of all identity records. */
export const IDENTITIES = 'identities'

/** Whose records a change concerns. A node's address is in the record of each of its pods. */
export function* ownersOf(snap: MeshSnapshot, change: Change): Iterable<string> {
  switch (change.table) {
    case 'services':
    case 'backends':
      if (change.service !== undefined) yield `service/${change.service}`
      return
    case 'pods':
      yield `pod/${change.key}`
      yield IDENTITIES
      return
    case 'nodes': {
      yield `node/${change.key}`
      const own = `${snap.cluster.name}/`
      if (!change.key.startsWith(own)) return
      for (const pod of snap.tables.pods.by('node', change.key.slice(own.length))) yield `pod/${pod.key}`
    }
  }
}

/** Everything that has records, once all rows are there. */
export function* allOwners({ tables }: MeshSnapshot): Iterable<string> {
  for (const service of tables.services.values()) yield `service/${service.name}`
  for (const node of tables.nodes.values()) yield `node/${node.key}`
  for (const pod of tables.pods.values()) yield `pod/${pod.key}`
  yield IDENTITIES
}

/** Keys and values of one owner (`service/<namespace>/<name>`, `node/<cluster>/<name>`, `pod/<namespace>/<name>`, `identities`). */
export function meshRecords(snap: MeshSnapshot, owner: string): ReadonlyMap<string, string> {
  const slash = owner.indexOf('/')
  const key = owner.slice(slash + 1)
  switch (slash < 0 ? owner : owner.slice(0, slash)) {
    case 'service':
      return serviceRecord(snap, key as ServiceName)
    case 'node':
      return nodeRecord(snap, key)
    case 'pod':
      return podRecord(snap, key)
    case IDENTITIES:
      return identityRecords(snap)
    default:
      return NOTHING
  }
}

const NOTHING: ReadonlyMap<string, string> = new Map()

/** Only for services that are global and shared; others see a deleted key, which is how a peer stops to use our backends. */
function serviceRecord({ tables, cluster }: MeshSnapshot, name: ServiceName): ReadonlyMap<string, string> {
  const service = tables.services.get(name)
  if (service === undefined || !service.mesh.global || !service.mesh.shared) return NOTHING
  const slash = name.indexOf('/')
  const ports = service.ports.map(({ name, protocol, port }): EndpointPort => ({ name, protocol, port }))
  const text = encodeService({
    cluster: cluster.name,
    clusterId: cluster.id,
    namespace: name.slice(0, slash),
    name: name.slice(slash + 1),
    frontends: service.clusterIPs.map((address): WireAddress => ({ address, ports })),
    backends: exportedBackends(tables, cluster.name, name),
    labels: service.labels,
    selector: service.selector,
    shared: true,
  })
  return new Map([[resourcePrefix('services', cluster.name, false) + name, text]])
}

/**
 * Backends that take connections, or at least still answer: a peer that knows no conditions takes all of them as ready. An
 * address in several sets has the ports of all, and is as good as the best of them says.
 */
function exportedBackends(tables: Tables, cluster: string, name: ServiceName): readonly Endpoint[] {
  const byAddress = new Map<number, Endpoint>()
  for (const set of tables.backends.by('service', name)) {
    if (set.cluster !== cluster) continue
    for (const endpoint of set.endpoints) {
      if (endpoint.condition === 'not-ready') continue
      const known = byAddress.get(endpoint.address)
      byAddress.set(endpoint.address, known === undefined ? endpoint : merge(known, endpoint))
    }
  }
  return [...byAddress.values()]
}

function merge(a: Endpoint, b: Endpoint): Endpoint {
  const ports = new Map([...a.ports, ...b.ports].map((port) => [port.name, port] as const))
  return { ...a, ports: [...ports.values()], condition: a.condition === 'ready' ? 'ready' : b.condition }
}

function nodeRecord({ tables, cluster }: MeshSnapshot, key: string): ReadonlyMap<string, string> {
  const node = tables.nodes.get(key)
  if (node === undefined || node.cluster !== cluster.name) return NOTHING
  const text = encodeNode({
    name: node.name,
    cluster: cluster.name,
    clusterId: cluster.id,
    addresses: node.addresses,
    podCidrs: node.podCidrs,
    labels: node.labels,
    takesDsr: true,
  })
  return new Map([[resourcePrefix('nodes', cluster.name, false) + node.name, text]])
}

/** Whether a pod has an address of its own, and so an identity. */
export function hasIdentity(pod: Pod): boolean {
  return pod.address !== undefined && !pod.hostNetwork
}

function podRecord({ tables, cluster, identities }: MeshSnapshot, key: string): ReadonlyMap<string, string> {
  const pod = tables.pods.get(key)
  if (pod?.address === undefined || !hasIdentity(pod)) return NOTHING
  const identity = identities.get(identityText(pod, cluster.name))
  if (identity === undefined) return NOTHING
  const prefix = { address: pod.address, bits: 32 }
  const text = encodeIp({
    prefix,
    hostAddress: pod.nodeName === undefined ? undefined : tables.nodes.get(`${cluster.name}/${pod.nodeName}`)?.address,
    identity,
    namespace: pod.namespace,
    podName: pod.name,
  })
  return new Map([[resourcePrefix('endpoints', cluster.name, false) + formatPrefix(prefix), text]])
}

function identityRecords({ cluster, identities }: MeshSnapshot): ReadonlyMap<string, string> {
  const prefix = resourcePrefix('identities', cluster.name, false)
  const records = new Map<string, string>()
  for (const [text, id] of identities) records.set(`${prefix}${id}`, text)
  return records
}
