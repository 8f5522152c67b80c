import { WeftError } from '../../lib/errors.ts'
import { MAX_CLUSTER_ID } from '../../types/wire/keys.ts'

/** The peer says something about itself that cannot be true in this mesh; it is asked again, and nothing is taken from it. */
export class PeerError extends WeftError {}

/** Who uses which cluster id. An id is kept over lost connections, and free again once its cluster was removed. */
export class ClusterIds {
  readonly #holders = new Map<number, string>()

  constructor(own: { readonly name: string; readonly id: number }) {
    this.#holders.set(own.id, own.name)
  }

  /** @throws PeerError `cluster-id-invalid` or `cluster-id-in-use` when `cluster` cannot have `id` */
  check(id: number, cluster: string): void {
    if (id < 1 || id > MAX_CLUSTER_ID) {
      throw new PeerError('cluster-id-invalid', `cluster ${cluster} has id ${id}`, {
        hint: `give ${cluster} an id between 1 and ${MAX_CLUSTER_ID} in its own configuration`,
      })
    }
    const holder = this.#holders.get(id)
    if (holder !== undefined && holder !== cluster) {
      throw new PeerError('cluster-id-in-use', `cluster ${cluster} has id ${id}, which cluster ${holder} has`, {
        hint: 'every cluster of a mesh needs an id of its own: change one of the two',
      })
    }
  }

  /** @throws PeerError as `check` */
  reserve(id: number, cluster: string): void {
    this.check(id, cluster)
    this.#holders.set(id, cluster)
  }

  release(id: number, cluster: string): void {
    if (this.#holders.get(id) === cluster) this.#holders.delete(id)
  }
}
