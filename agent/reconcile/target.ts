/**
 * Something outside the process that is to hold a set of keyed entries: eBPF maps, routes, records in etcd.
 *
 * Contract, checked by one compliance suite for every implementation:
 * - `load` returns what is really there, read from the outside, and only what is ours.
 * - `set` creates or replaces; it is idempotent; an entry that fails leaves the old one intact (never half-written).
 * - `delete` of a missing key succeeds.
 * - Failures are per key; a key that is not in the returned map was applied. A rejected promise means nothing is known about the whole batch.
 * - `pieces`, where there is much: what `load` returns, a part at a time. Each part is what is there when it is taken, and
 *   others may write before the next; what is there all along may rarely be missing, so `read` has the last word on a key.
 * - `equals` decides whether `set` would change anything that this target keeps.
 */
export interface Target<V> {
  readonly name: string
  load(): Promise<ReadonlyMap<string, V>>
  pieces?(): Iterable<readonly V[]>
  read?(key: string): V | undefined
  set(batch: readonly (readonly [key: string, value: V])[]): Promise<Failures>
  delete(keys: readonly string[]): Promise<Failures>
  equals(a: V, b: V): boolean
}

export type Failures = ReadonlyMap<string, Error>

export const NO_FAILURES: Failures = new Map()

/** Outcome per key, for `explain` and `status`. */
export type RowStatus =
  | { readonly state: 'pending' }
  | { readonly state: 'done' }
  | { readonly state: 'error'; readonly error: Error; readonly attempts: number }
