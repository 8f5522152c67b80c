import type { Snapshot } from '../../../agent/desired/snapshot.ts'
import type { BackendSet, Condition, Endpoint, EndpointPort } from '../../../agent/types/backend.ts'
import type { Cluster } from '../../../agent/types/cluster.ts'
import type { SlotBackend } from '../../../agent/types/frontend.ts'
import type { IpEntry } from '../../../agent/types/identity.ts'
import type { Node, Pod } from '../../../agent/types/node.ts'
import type { Service, ServicePort } from '../../../agent/types/service.ts'
import { SyncGates } from '../../../agent/state/sync.ts'
import { createTables } from '../../../agent/state/tables.ts'
import { Writer } from '../../../agent/state/writer.ts'
import { parseCidr } from '../../../agent/types/address.ts'
import { serviceName } from '../../../agent/types/service.ts'
import { ip, podRow, serviceRow } from '../../rows.ts'

export const WEBPOD = serviceName('default', 'webpod')

export { ip }

export const HTTP: ServicePort = { name: 'http', protocol: 6, port: 80, targetPort: 8080, nodePort: undefined }
export const HTTP_PORTS: readonly EndpointPort[] = [{ name: 'http', protocol: 6, port: 8080 }]

export function service(fields: Partial<Service> = {}): Service {
  return serviceRow({
    name: WEBPOD,
    clusterIPs: [ip('10.2.47.149')],
    ports: [HTTP],
    mesh: { global: true, shared: true, affinity: 'none' },
    origin: 'services.yaml:1',
    ...fields,
  })
}

export function endpoint(address: string, condition: Condition = 'ready', fields: Partial<Endpoint> = {}): Endpoint {
  return {
    address: ip(address),
    ports: HTTP_PORTS,
    condition,
    nodeName: undefined,
    zone: undefined,
    weight: 100,
    ...fields,
  }
}

export function backendSet(cluster: string, endpoints: readonly Endpoint[], name = 'slice'): BackendSet {
  return { key: `${cluster}/${WEBPOD}/${name}`, service: WEBPOD, cluster, endpoints, origin: cluster }
}

export function cluster(name: string, id: number, fields: Partial<Cluster> = {}): Cluster {
  return {
    name,
    id,
    state: 'ready',
    unreachable: false,
    synced: { nodes: true, services: true, endpoints: true, identities: true },
    failures: 0,
    lastFailure: undefined,
    message: '',
    config: undefined,
    etcdClusterId: undefined,
    ...fields,
  }
}

export function node(clusterName: string, name: string, address: string, podCidrs: readonly string[]): Node {
  return {
    key: `${clusterName}/${name}`,
    cluster: clusterName,
    name,
    address: ip(address),
    addresses: [{ type: 'InternalIP', address: ip(address) }],
    podCidrs: podCidrs.map((text) => parseCidr(text)!),
    labels: {},
    zone: undefined,
    origin: clusterName,
  }
}

export function pod(name: string, address: string, nodeName: string, fields: Partial<Pod> = {}): Pod {
  return podRow({ name, address: ip(address), nodeName, ...fields })
}

export function ipEntry(clusterName: string, prefix: string, identity: number, host?: string): IpEntry {
  return {
    key: `${clusterName}/${prefix}`,
    cluster: clusterName,
    prefix: parseCidr(prefix)!,
    identity,
    hostAddress: host === undefined ? undefined : ip(host),
    namespace: undefined,
    podName: undefined,
  }
}

/** West (id 1), seen from its node `west-worker` at 172.18.0.3; east (2) and north (3) are connected and synced. */
export interface World {
  readonly snap: Snapshot
  readonly writer: Writer
  readonly sync: SyncGates
  readonly restored: Map<string, readonly SlotBackend[]>
}

export function world(lb: Partial<Snapshot['lb']> = {}): World {
  const tables = createTables()
  const sync = new SyncGates()
  const writer = new Writer(tables, sync)
  const restored = new Map<string, readonly SlotBackend[]>()
  for (const source of ['local', 'mesh/east', 'mesh/north']) {
    sync.register(source)
    sync.open(source)
  }
  writer.upsertCluster(cluster('east', 2))
  writer.upsertCluster(cluster('north', 3))
  const snap: Snapshot = {
    tables,
    local: { clusterName: 'west', clusterId: 1, nodeName: 'west-worker', nodeAddresses: [ip('172.18.0.3')] },
    lb: {
      algorithm: 'random',
      mode: 'snat',
      dsrRemoteClusters: 'advertised',
      maglevSize: 16381,
      nodePortRange: { first: 30000, last: 32767 },
      ...lb,
    },
    isSynced: (source) => sync.isOpen(source),
    restored: (id) => restored.get(id) ?? [],
  }
  return { snap, writer, sync, restored }
}
