import type { Address } from '../types/address.ts'
import type { BackendSet } from '../types/backend.ts'
import type { Cluster } from '../types/cluster.ts'
import type { Identity, IpEntry, IpFields } from '../types/identity.ts'
import type { Node, Pod } from '../types/node.ts'
import type { Problem } from '../types/problem.ts'
import type { Reach } from '../types/reach.ts'
import type { Service, ServiceName } from '../types/service.ts'
import type { Change, MutableTables } from './tables.ts'
import type { SyncGates } from './sync.ts'
import { formatAddress } from '../types/address.ts'

/**
 * The only door to the tables. Sources call it with whole rows; it commits and tells the listeners which row changed.
 *
 * A listener runs inside the call and must only note what to do later: nothing below a source may fail it.
 */
export class Writer {
  readonly #tables: MutableTables
  readonly #sync: SyncGates
  readonly #listeners = new Set<(change: Change) => void>()

  constructor(tables: MutableTables, sync: SyncGates) {
    this.#tables = tables
    this.#sync = sync
  }

  /** Returns the function that ends the subscription. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  upsertService(row: Service): void {
    this.#tables.services.put(row)
    this.#emit({ table: 'services', key: row.name, service: row.name })
  }

  deleteService(name: ServiceName): void {
    if (this.#tables.services.remove(name) !== undefined) this.#emit({ table: 'services', key: name, service: name })
  }

  upsertBackends(row: BackendSet): void {
    const previous = this.#tables.backends.put(row)
    if (previous !== undefined && previous.service !== row.service) {
      this.#emit({ table: 'backends', key: row.key, service: previous.service })
    }
    this.#emit({ table: 'backends', key: row.key, service: row.service })
  }

  deleteBackends(key: string): void {
    const row = this.#tables.backends.remove(key)
    if (row !== undefined) this.#emit({ table: 'backends', key, service: row.service })
  }

  upsertNode(row: Node): void {
    this.#tables.nodes.put(row)
    this.#emit({ table: 'nodes', key: row.key })
  }

  deleteNode(key: string): void {
    if (this.#tables.nodes.remove(key) !== undefined) this.#emit({ table: 'nodes', key })
  }

  upsertPod(row: Pod): void {
    this.#tables.pods.put(row)
    this.#emit({ table: 'pods', key: row.key })
  }

  deletePod(key: string): void {
    if (this.#tables.pods.remove(key) !== undefined) this.#emit({ table: 'pods', key })
  }

  upsertIdentity(row: Identity): void {
    this.#tables.identities.put(row)
    this.#emit({ table: 'identities', key: String(row.id) })
  }

  deleteIdentity(id: number): void {
    if (this.#tables.identities.remove(String(id)) !== undefined) this.#emit({ table: 'identities', key: String(id) })
  }

  upsertIp(row: IpEntry): void {
    this.#tables.ips.put(row)
    this.#emit({ table: 'ips', key: row.key })
  }

  /** As `upsertIp`, for those who read a million of them: nothing of `fields` is kept. */
  upsertIpFields(cluster: string, fields: IpFields): void {
    this.#tables.ips.putFields(cluster, fields)
    if (this.#listeners.size === 0) return
    this.#emit({ table: 'ips', key: `${cluster}/${formatAddress(fields.address as Address)}/${fields.bits}` })
  }

  deleteIp(key: string): void {
    if (this.#tables.ips.remove(key)) this.#emit({ table: 'ips', key })
  }

  upsertCluster(row: Cluster): void {
    this.#tables.clusters.put(row)
    this.#emit({ table: 'clusters', key: row.name })
  }

  deleteCluster(name: string): void {
    if (this.#tables.clusters.remove(name) !== undefined) this.#emit({ table: 'clusters', key: name })
  }

  /** `services` are those with a backend whose verdict changed. */
  upsertReach(row: Reach, services: Iterable<ServiceName>): void {
    this.#tables.reach.put(row)
    this.#emit({ table: 'reach', key: row.cluster })
    for (const service of services) this.#emit({ table: 'reach', key: row.cluster, service })
  }

  /** Replaces what `origin` complains about; an empty list clears it. */
  setProblems(origin: string, problems: readonly Problem[]): void {
    if (problems.length > 0) this.#tables.problems.put({ origin, problems })
    else if (this.#tables.problems.remove(origin) === undefined) return
    this.#emit({ table: 'problems', key: origin })
  }

  /** The first complete list of `source` is in the tables: from now on, what it does not have does not exist. */
  synced(source: string): void {
    this.#sync.open(source)
  }

  #emit(change: Change): void {
    for (const listener of this.#listeners) listener(change)
  }
}
