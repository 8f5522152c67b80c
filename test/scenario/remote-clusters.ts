import type { Importer, Peer } from '../../agent/sources/mesh/importers.ts'
import type { SyncGates } from '../../agent/state/sync.ts'
import type { Writer } from '../../agent/state/writer.ts'
import type { Cluster, MeshResource } from '../../agent/types/cluster.ts'
import type { RemoteSpec } from './format.ts'
import { createImporters } from '../../agent/sources/mesh/importers.ts'
import { RecordProblems } from '../../agent/sources/mesh/record-problems.ts'
import { describeError } from '../../agent/lib/errors.ts'
import { meshSource } from '../../agent/state/sync.ts'
import { parseAddress, parseCidr } from '../../agent/types/address.ts'
import { MESH_RESOURCES } from '../../agent/types/cluster.ts'
import { encodeIp, formatPrefix } from '../../agent/types/wire/ip.ts'
import { resourcePrefix } from '../../agent/types/wire/keys.ts'
import { encodeNode } from '../../agent/types/wire/node.ts'
import { encodeRemoteService } from './remote-service.ts'

type Records = Readonly<Record<MeshResource, Map<string, string>>>

/** What one process knows of the mesh. */
interface Session {
  readonly writer: Writer
  readonly sync: SyncGates
  readonly importers: Readonly<Record<MeshResource, Importer>>
  readonly problems: Map<string, RecordProblems>
}

/**
 * Remote clusters without their etcd: what they export goes through the wire format and the importers, in the order in
 * which the mesh source would deliver it.
 */
export class RemoteClusters {
  readonly #known = new Map<string, { id: number; state: NonNullable<RemoteSpec['state']>; records: Records }>()
  readonly #waiting = new Set<string>()
  #session: Session | undefined

  /** A new process: all clusters are known by their configuration files, and none has answered yet. */
  attach(writer: Writer, sync: SyncGates, waiting: ReadonlySet<string>): void {
    this.#session = { writer, sync, importers: createImporters(writer), problems: new Map() }
    this.#waiting.clear()
    for (const [name, { state }] of this.#known) {
      sync.register(meshSource(name))
      writer.upsertCluster(rowOf(name, 0, 'disconnected'))
      if (waiting.has(name) || state === 'syncing' || state === 'disconnected') this.#waiting.add(name)
    }
  }

  names(): string[] {
    return [...this.#known.keys()]
  }

  /** What the cluster says now; what is left out stays as it was. */
  change(name: string, spec: RemoteSpec): void {
    const { writer, sync } = this.#live()
    let cluster = this.#known.get(name)
    if (cluster === undefined) {
      const records: Records = { nodes: new Map(), services: new Map(), endpoints: new Map(), identities: new Map() }
      cluster = { id: spec.id ?? 0, state: spec.state ?? 'ready', records }
      this.#known.set(name, cluster)
      sync.register(meshSource(name))
      writer.upsertCluster(rowOf(name, 0, 'disconnected'))
      this.#waiting.add(name)
    }
    cluster.state = spec.state ?? cluster.state
    cluster.id = spec.id ?? cluster.id
    const peer = { name, id: cluster.id }
    for (const [resource, tail, value] of wireRecords(peer, spec)) this.#record(peer, resource, tail, value)
    if (cluster.state === 'removed') this.#remove(name)
    else if (this.#waiting.has(name) && (cluster.state === 'ready' || cluster.state === 'unreachable'))
      this.deliver(name)
    else writer.upsertCluster(rowOf(name, cluster.id, cluster.state))
  }

  /** The first list, and the word that it was complete. */
  deliver(name: string): void {
    const { writer, sync } = this.#live()
    const cluster = this.#known.get(name)
    if (cluster === undefined) throw new Error(`there is no remote cluster ${name}`)
    this.#waiting.delete(name)
    if (cluster.state === 'syncing' || cluster.state === 'disconnected') cluster.state = 'ready'
    const peer = { name, id: cluster.id }
    writer.upsertCluster(rowOf(name, cluster.id, 'syncing'))
    for (const resource of MESH_RESOURCES) {
      for (const [tail, value] of cluster.records[resource]) this.#put(peer, resource, tail, value)
    }
    writer.upsertCluster(rowOf(name, cluster.id, cluster.state))
    if (!sync.isOpen(meshSource(name))) writer.synced(meshSource(name))
  }

  /** Those that answer at once after a start. */
  deliverAll(): void {
    for (const name of this.#known.keys()) if (!this.#waiting.has(name)) this.deliver(name)
  }

  #record(peer: Peer, resource: MeshResource, tail: string, value: string | null): void {
    const { records } = this.#known.get(peer.name)!
    if (value === null) records[resource].delete(tail)
    else records[resource].set(tail, value)
    if (this.#waiting.has(peer.name)) return
    if (value !== null) return this.#put(peer, resource, tail, value)
    this.#refusals(peer).accept(keyOf(peer, resource, tail))
    this.#live().importers[resource].delete(peer, tail)
  }

  #put(peer: Peer, resource: MeshResource, tail: string, value: string): void {
    try {
      this.#live().importers[resource].put(peer, tail, value)
      this.#refusals(peer).accept(keyOf(peer, resource, tail))
    } catch (error) {
      this.#refusals(peer).refuse(keyOf(peer, resource, tail), describeError(error))
    }
  }

  #remove(name: string): void {
    const { importers, writer, sync } = this.#live()
    const { id, records } = this.#known.get(name)!
    writer.upsertCluster(rowOf(name, id, 'removed'))
    for (const resource of MESH_RESOURCES) {
      for (const tail of records[resource].keys()) importers[resource].delete({ name, id }, tail)
    }
    writer.deleteCluster(name)
    sync.unregister(meshSource(name))
    this.#known.delete(name)
  }

  #refusals({ name }: Peer): RecordProblems {
    const { writer, problems } = this.#live()
    const refusals = problems.get(name) ?? new RecordProblems(writer, name)
    problems.set(name, refusals)
    return refusals
  }

  #live(): Session {
    if (this.#session === undefined) throw new Error('no agent runs')
    return this.#session
  }
}

function keyOf(peer: Peer, resource: MeshResource, tail: string): string {
  return resourcePrefix(resource, peer.name, false) + tail
}

function rowOf(name: string, id: number, state: NonNullable<RemoteSpec['state']>): Cluster {
  const synced = state === 'ready' || state === 'unreachable'
  return {
    name,
    id,
    state: state === 'unreachable' ? 'disconnected' : state,
    unreachable: state === 'unreachable',
    synced: { nodes: synced, services: synced, endpoints: synced, identities: synced },
    failures: 0,
    lastFailure: undefined,
    message: '',
    config: undefined,
    etcdClusterId: undefined,
  }
}

/** The short form as records. */
function* wireRecords(peer: Peer, spec: RemoteSpec): Iterable<[MeshResource, string, string | null]> {
  for (const [tail, service] of Object.entries(spec.services)) {
    yield ['services', tail, service === null ? null : encodeRemoteService(peer, tail, service)]
  }
  for (const [name, node] of Object.entries(spec.nodes)) {
    const record = node && {
      ...{ name, cluster: peer.name, clusterId: peer.id, labels: {} },
      addresses: [{ type: 'InternalIP', address: parseAddress(node.address)! }],
      podCidrs: [parseCidr(node.podCidr)!],
    }
    yield ['nodes', name, record && encodeNode(record)]
  }
  for (const [text, entry] of Object.entries(spec.addresses)) {
    const prefix = { address: parseAddress(text)!, bits: 32 }
    const record = entry && {
      ...{ prefix, identity: entry.identity, namespace: '', podName: '' },
      hostAddress: parseAddress(entry.node),
    }
    yield ['endpoints', formatPrefix(prefix), record && encodeIp(record)]
  }
  for (const resource of MESH_RESOURCES) {
    for (const [tail, value] of Object.entries(spec.records[resource] ?? {})) yield [resource, tail, value]
  }
}
