import type { Writer } from '../../state/writer.ts'
import type { Cluster, ClusterState } from '../../types/cluster.ts'
import { EtcdError } from '../../lib/etcd.ts'
import { countLoss } from './losses.ts'

const NEXT: Readonly<Record<ClusterState, readonly ClusterState[]>> = {
  disconnected: ['connecting', 'removed'],
  connecting: ['syncing', 'disconnected', 'removed'],
  syncing: ['ready', 'disconnected', 'removed'],
  ready: ['disconnected', 'removed'],
  removed: [],
}

export const NOTHING_SYNCED: Cluster['synced'] = { nodes: false, services: false, endpoints: false, identities: false }

/** A cluster that was never connected to. */
export function newCluster(name: string): Cluster {
  return {
    name,
    id: 0,
    state: 'disconnected',
    unreachable: false,
    synced: NOTHING_SYNCED,
    failures: 0,
    lastFailure: undefined,
    message: 'not yet connected',
    config: undefined,
    etcdClusterId: undefined,
  }
}

/** The row of a remote cluster in the tables: whatever is said here about the cluster is there at once. */
export class ClusterRow {
  readonly #writer: Writer
  #row: Cluster

  constructor(writer: Writer, name: string) {
    this.#writer = writer
    this.#row = newCluster(name)
  }

  get now(): Cluster {
    return this.#row
  }

  /** On a session that stands, a message is what is wrong with it all the same. */
  get complained(): boolean {
    return this.#row.message !== '' && (this.#row.state === 'ready' || this.#row.state === 'syncing')
  }

  publish(change: Partial<Cluster>): void {
    this.#row = { ...this.#row, ...change }
    this.#writer.upsertCluster(this.#row)
  }

  /** @throws EtcdError when a cluster cannot go from its state to this one */
  to(state: ClusterState, message: string): void {
    const { name, state: from } = this.#row
    if (!NEXT[from].includes(state)) {
      throw new EtcdError('cluster-state', `cluster ${name}: ${from} cannot become ${state}`)
    }
    this.publish({ state, message })
  }

  /** Told with the change that comes with it: see `countLoss`. */
  count(what: string | Error): void {
    this.#row = countLoss(this.#row, what)
  }
}
