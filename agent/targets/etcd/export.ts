import type { Failures, Target } from '../../reconcile/target.ts'
import type { LeasedStore } from './leased-store.ts'
import { MESH_RESOURCES } from '../../types/cluster.ts'
import { resourcePrefix } from '../../types/wire/keys.ts'

/** The value of a key. */
export interface EtcdValue {
  readonly text: string
}

/**
 * What a cluster exports, as keys in its own etcd. Ours are the four resources' prefixes; heartbeat, cluster-config and
 * canaries are kept by others.
 */
export class EtcdExportTarget implements Target<EtcdValue> {
  readonly name = 'etcd'
  readonly #store: LeasedStore
  readonly #prefixes: readonly string[]

  constructor(store: LeasedStore, cluster: string) {
    this.#store = store
    this.#prefixes = MESH_RESOURCES.map((resource) => resourcePrefix(resource, cluster, false))
  }

  async load(): Promise<ReadonlyMap<string, EtcdValue>> {
    const found = new Map<string, EtcdValue>()
    for (const [key, text] of await this.#store.list(this.#prefixes)) found.set(key, { text })
    return found
  }

  set(batch: readonly (readonly [key: string, value: EtcdValue])[]): Promise<Failures> {
    return this.#store.put(batch.map(([key, { text }]) => [key, text]))
  }

  delete(keys: readonly string[]): Promise<Failures> {
    return this.#store.delete(keys)
  }

  equals(a: EtcdValue, b: EtcdValue): boolean {
    return a.text === b.text
  }
}
