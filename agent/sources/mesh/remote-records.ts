import type { EtcdSession } from '../../lib/etcd-session.ts'
import type { KeyValue } from '../../lib/etcd-wire.ts'
import type { Log } from '../../lib/log.ts'
import type { Writer } from '../../state/writer.ts'
import type { MeshResource } from '../../types/cluster.ts'
import type { MirrorHandler } from './etcd-mirror.ts'
import type { Importer, Peer } from './importers.ts'
import { describeError } from '../../lib/errors.ts'
import { MESH_RESOURCES } from '../../types/cluster.ts'
import { WireError } from '../../types/wire/go-json.ts'
import { resourcePrefix } from '../../types/wire/keys.ts'
import { PrefixMirror } from './etcd-mirror.ts'
import { createImporters } from './importers.ts'
import { RecordProblems } from './record-problems.ts'
import { AddressRevisions } from './revisions.ts'

/**
 * The records of one remote cluster, on their way from its etcd into the tables, over any number of sessions. What cannot be
 * believed is refused and reported; the row stays as it was.
 */
export class RemoteRecords {
  readonly #log: Log
  readonly #importers: Readonly<Record<MeshResource, Importer>>
  readonly #mirrors: Readonly<Record<MeshResource, PrefixMirror>>
  readonly #problems: RecordProblems
  #peer: Peer
  #cached = false

  constructor(name: string, writer: Writer, log: Log) {
    this.#log = log
    this.#peer = { name, id: 0 }
    this.#importers = createImporters(writer)
    this.#problems = new RecordProblems(writer, name)
    const prefix = (resource: MeshResource): string => resourcePrefix(resource, name, false)
    const handler = (resource: MeshResource): MirrorHandler => ({
      put: (tail, value) => this.#put(resource, tail, value),
      delete: (tail) => this.#delete(resource, tail),
    })
    const mirror = (resource: MeshResource): PrefixMirror => new PrefixMirror(prefix(resource), handler(resource))
    // Of addresses there may be a million.
    const endpoints: MirrorHandler = { ...handler('endpoints'), take: (kv, tailAt) => this.#take(kv, tailAt) }
    this.#mirrors = {
      nodes: mirror('nodes'),
      services: mirror('services'),
      endpoints: new PrefixMirror(prefix('endpoints'), endpoints, 'utf8', new AddressRevisions()),
      identities: mirror('identities'),
    }
  }

  /** Whose records they are; id 0 until it is known. */
  get peer(): Peer {
    return this.#peer
  }

  /** How often history was gone that was still to be read. */
  get compactions(): number {
    return MESH_RESOURCES.reduce((sum, resource) => sum + this.#mirrors[resource].compactions, 0)
  }

  /** Records are taken as those of the cluster with this id from now on. */
  belongTo(id: number): void {
    this.#peer = { name: this.#peer.name, id }
  }

  /** All there is will be listed, and taken as new: positions were in another store. `cached`: under the keys of a copy. */
  restart(cached: boolean): void {
    this.#cached = cached
    for (const resource of MESH_RESOURCES) this.#mirrors[resource].restart(this.#prefix(resource))
  }

  /** See `PrefixMirror.run`. */
  follow(resource: MeshResource, session: EtcdSession, onSynced: () => void): Promise<never> {
    return this.#mirrors[resource].run(session, onSynced)
  }

  /** Removes what the services contributed. The session must have ended; the next one waits. */
  async drainServices(): Promise<void> {
    await this.#mirrors.services.drain()
  }

  /** Removes all that the cluster contributed, while no session follows it: afterwards nothing is known, not even whose it was. */
  async drain(): Promise<void> {
    await Promise.all(MESH_RESOURCES.map((resource) => this.#mirrors[resource].drain()))
    this.#problems.clear()
    this.belongTo(0)
  }

  /** As `#put`, where the value lies. */
  #take(kv: KeyValue, tailAt: number): boolean {
    try {
      if (this.#importers.endpoints.take?.(this.#peer, kv, tailAt) !== true) return false
      if (this.#problems.any) this.#problems.accept(kv.key.toString('utf8'))
      return true
    } catch {
      return false // `put` comes to the same end, and says so
    }
  }

  #put(resource: MeshResource, tail: string, value: string): void {
    try {
      this.#importers[resource].put(this.#peer, tail, value)
      if (this.#problems.any) this.#problems.accept(this.#prefix(resource) + tail)
    } catch (error) {
      const why = describeError(error)
      this.#problems.refuse(this.#prefix(resource) + tail, why)
      if (error instanceof WireError) this.#log.warn({ key: tail, resource }, `record refused: ${why}`)
      else this.#log.error({ key: tail, resource, err: error }, 'record could not be taken')
    }
  }

  #delete(resource: MeshResource, tail: string): void {
    if (this.#problems.any) this.#problems.accept(this.#prefix(resource) + tail)
    this.#importers[resource].delete(this.#peer, tail)
  }

  #prefix(resource: MeshResource): string {
    return resourcePrefix(resource, this.#peer.name, this.#cached)
  }
}
