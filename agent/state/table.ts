/** A table as everyone but the Writer sees it. Rows are immutable: a changed row is a new object. */
export interface ReadTable<V, I extends string = never> {
  readonly size: number
  /** Grows by one with every change. */
  readonly revision: number
  get(key: string): V | undefined
  values(): IterableIterator<V>
  /** Rows whose index `name` has `value`, in insertion order; empty when none. */
  by(name: I, value: string): Iterable<V>
}

/** Typed rows by primary key, with any number of non-unique indexes kept in step. */
export class Table<V, I extends string = never> implements ReadTable<V, I> {
  readonly #rows = new Map<string, V>()
  readonly #keyOf: (row: V) => string
  readonly #indexOf: Readonly<Record<I, (row: V) => string | undefined>>
  readonly #indexes = new Map<string, Map<string, Map<string, V>>>()
  #revision = 0

  constructor(keyOf: (row: V) => string, indexOf: Readonly<Record<I, (row: V) => string | undefined>>) {
    this.#keyOf = keyOf
    this.#indexOf = indexOf
    for (const name of Object.keys(indexOf)) this.#indexes.set(name, new Map())
  }

  get size(): number {
    return this.#rows.size
  }

  get revision(): number {
    return this.#revision
  }

  get(key: string): V | undefined {
    return this.#rows.get(key)
  }

  values(): IterableIterator<V> {
    return this.#rows.values()
  }

  by(name: I, value: string): Iterable<V> {
    return this.#indexes.get(name)?.get(value)?.values() ?? []
  }

  /** Inserts or replaces; returns the row that was there. */
  put(row: V): V | undefined {
    const key = this.#keyOf(row)
    const previous = this.#rows.get(key)
    if (previous !== undefined) this.#unindex(key, previous, row)
    this.#rows.set(key, row)
    for (const name in this.#indexOf) {
      const value = this.#indexOf[name](row)
      if (value === undefined) continue
      const index = this.#indexes.get(name)!
      const bucket = index.get(value)
      if (bucket === undefined) index.set(value, new Map([[key, row]]))
      else bucket.set(key, row)
    }
    this.#revision++
    return previous
  }

  /** Returns the removed row, or undefined when there was none. */
  remove(key: string): V | undefined {
    const previous = this.#rows.get(key)
    if (previous === undefined) return undefined
    this.#rows.delete(key)
    this.#unindex(key, previous, undefined)
    this.#revision++
    return previous
  }

  #unindex(key: string, row: V, successor: V | undefined): void {
    for (const name in this.#indexOf) {
      const value = this.#indexOf[name](row)
      if (value === undefined) continue
      if (successor !== undefined && this.#indexOf[name](successor) === value) continue
      const index = this.#indexes.get(name)!
      const bucket = index.get(value)
      bucket?.delete(key)
      if (bucket?.size === 0) index.delete(value)
    }
  }
}
