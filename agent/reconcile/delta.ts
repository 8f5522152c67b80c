/**
 * What is wanted, what is there, and so what is to be done.
 *
 * ```
 *            wanted            there
 *        ┌──────────┬─────────────┬────────┐
 *        │   set    │ equal: done │ delete │   a key in the middle that is not equal is a `set` too
 *        └──────────┴─────────────┴────────┘
 * ```
 *
 * Several owners may want one key: the lowest rank wins, then the first owner by name; the others wait in line.
 *
 * INVARIANTS
 * - `todo` holds exactly the keys in which the two sides differ, minus those that may not be deleted yet.
 * - What was found by a load and was never wanted stays until `allowPrune`; what we have set ourselves may go at any time.
 * - Only `loaded`, `wasSet` and `wasDeleted` change the side `there`; only `replace` changes the side `wanted`.
 */
export class Delta<V extends object> implements DeltaView<V> {
  readonly #rows = new Map<string, Row<V>>()
  /** The keys each owner wants. Most want one: a million owners cost a million strings, not maps. */
  readonly #owned = new Map<string, string | readonly string[]>()
  readonly #todo = new Set<string>()
  readonly #contested = new Set<string>()
  readonly #equals: (a: V, b: V) => boolean
  readonly #rank: (value: V) => number
  #mayPrune = false
  #wanted = 0
  #there = 0

  constructor(equals: (a: V, b: V) => boolean, rank: (value: V) => number = () => 0) {
    this.#equals = equals
    this.#rank = rank
  }

  get desired(): number {
    return this.#wanted
  }

  get actual(): number {
    return this.#there
  }

  /** Keys to set or delete. */
  get todo(): ReadonlySet<string> {
    return this.#todo
  }

  wanted(key: string): V | undefined {
    return this.#rows.get(key)?.wanted
  }

  there(key: string): V | undefined {
    return this.#rows.get(key)?.there
  }

  /** Everything that is wanted, whoever wants it. */
  *wantedEntries(): IterableIterator<readonly [string, V]> {
    for (const [key, row] of this.#rows) if (row.wanted !== undefined) yield [key, row.wanted]
  }

  /** Keys that more than one owner wants. */
  *conflicts(): IterableIterator<Conflict<V>> {
    for (const key of this.#contested) {
      const row = this.#rows.get(key)!
      yield { key, winner: { owner: row.owner, value: row.wanted! }, losers: row.waiting! }
    }
  }

  /** From now on `owner` wants exactly `entries`. Returns the keys whose wanted value changed. */
  replace(owner: string, entries: ReadonlyMap<string, V>): readonly string[] {
    const changed: string[] = []
    const before = this.#owned.get(owner)
    if (typeof before === 'string') {
      if (!entries.has(before)) this.#withdraw(owner, before, changed)
    } else if (before !== undefined) {
      for (const key of before) if (!entries.has(key)) this.#withdraw(owner, key, changed)
    }
    let last = ''
    for (const [key, value] of entries) {
      this.#claim(owner, key, value, changed)
      last = key
    }
    if (entries.size === 0) this.#owned.delete(owner)
    else if (entries.size > 1) this.#owned.set(owner, [...entries.keys()])
    else if (before !== last) this.#owned.set(owner, last)
    return changed
  }

  /** What a load found replaces what was believed. Returns in how many keys the two differed. */
  loaded(found: ReadonlyMap<string, V>): number {
    let drift = 0
    for (const [key, row] of this.#rows) {
      if (row.there === undefined || found.has(key)) continue
      drift++
      this.#setThere(key, row, undefined)
    }
    for (const [key, value] of found) {
      const row = this.#row(key)
      if (row.there === undefined) {
        drift++
        row.found = true
      } else if (!this.#equals(row.there, value)) drift++
      this.#setThere(key, row, value)
    }
    return drift
  }

  wasSet(key: string, value: V): void {
    const row = this.#row(key)
    if (row.there === undefined) row.found = false
    this.#setThere(key, row, value)
  }

  wasDeleted(key: string): void {
    const row = this.#rows.get(key)
    if (row !== undefined) this.#setThere(key, row, undefined)
  }

  /** Every source has spoken: what was found and nobody wants may go. */
  allowPrune(): void {
    this.#mayPrune = true
    for (const [key, row] of this.#rows) this.#classify(key, row)
  }

  #row(key: string): Row<V> {
    let row = this.#rows.get(key)
    if (row === undefined) {
      row = { owner: '', wanted: undefined, waiting: undefined, there: undefined, found: false }
      this.#rows.set(key, row)
    }
    return row
  }

  #claim(owner: string, key: string, value: V, changed: string[]): void {
    const row = this.#row(key)
    if (row.wanted === undefined || (row.owner === owner && row.waiting === undefined)) {
      this.#setWanted(key, row, owner, value, changed)
    } else {
      const rivals = claimsOn(row).filter((each) => each.owner !== owner)
      this.#settle(key, row, [...rivals, { owner, value }], changed)
    }
  }

  #withdraw(owner: string, key: string, changed: string[]): void {
    const row = this.#rows.get(key)
    if (row?.wanted === undefined) return
    if (row.waiting === undefined) this.#setWanted(key, row, '', undefined, changed)
    else
      this.#settle(
        key,
        row,
        claimsOn(row).filter((each) => each.owner !== owner),
        changed,
      )
  }

  #settle(key: string, row: Row<V>, claims: Claim<V>[], changed: string[]): void {
    claims.sort((a, b) => this.#rank(a.value) - this.#rank(b.value) || (a.owner < b.owner ? -1 : 1))
    const [winner, ...losers] = claims
    row.waiting = losers.length === 0 ? undefined : losers
    if (losers.length === 0) this.#contested.delete(key)
    else this.#contested.add(key)
    this.#setWanted(key, row, winner!.owner, winner!.value, changed)
  }

  #setWanted(key: string, row: Row<V>, owner: string, value: V | undefined, changed: string[]): void {
    const before = row.wanted
    row.owner = owner
    row.wanted = value
    if (before === value) return
    if (before === undefined) this.#wanted++
    else if (value === undefined) this.#wanted--
    else if (this.#equals(before, value)) {
      // The same thing computed anew: keep only the newer object.
      if (row.there === before) row.there = value
      return
    }
    changed.push(key)
    this.#classify(key, row)
  }

  #setThere(key: string, row: Row<V>, value: V | undefined): void {
    if (row.there === undefined && value !== undefined) this.#there++
    if (row.there !== undefined && value === undefined) this.#there--
    row.there = value
    this.#classify(key, row)
  }

  #classify(key: string, row: Row<V>): void {
    const { wanted, there } = row
    if (wanted === undefined) {
      if (there !== undefined && (this.#mayPrune || !row.found)) this.#todo.add(key)
      else this.#todo.delete(key)
    } else if (there !== undefined && (wanted === there || this.#equals(wanted, there))) {
      row.there = wanted
      this.#todo.delete(key)
    } else this.#todo.add(key)
    if (wanted === undefined && there === undefined) this.#rows.delete(key)
  }
}

/** What a reconciler needs of a delta. */
export interface DeltaView<V> {
  readonly desired: number
  readonly actual: number
  readonly todo: ReadonlySet<string>
  wanted(key: string): V | undefined
  there(key: string): V | undefined
  wantedEntries(): IterableIterator<readonly [string, V]>
  conflicts(): IterableIterator<Conflict<V>>
  replace(owner: string, entries: ReadonlyMap<string, V>): readonly string[]
  loaded(found: ReadonlyMap<string, V>): number
  /** As `loaded`, a part at a time; a scan that was begun before is void. */
  scan?(): DeltaScan<V>
  wasSet(key: string, value: V): void
  wasDeleted(key: string): void
  allowPrune(): void
}

/** The side `there` is being compared with what is really there, while it goes on being changed. */
export interface DeltaScan<V> {
  /** False once another scan was begun. */
  readonly current: boolean
  /** Takes entries as they are there now. Returns in how many the sides differed. */
  found(entries: readonly V[]): number
  /** Once all was found: what is believed to be there and was neither found nor set meanwhile. `found` or `wasDeleted` is to follow. */
  missing(): Iterable<readonly string[]>
}

export interface Claim<V> {
  readonly owner: string
  readonly value: V
}

export interface Conflict<V> {
  readonly key: string
  readonly winner: Claim<V>
  /** In the order in which they would take over. */
  readonly losers: readonly Claim<V>[]
}

interface Row<V> {
  /** Whose value is wanted; empty when nobody wants the key. */
  owner: string
  wanted: V | undefined
  waiting: readonly Claim<V>[] | undefined
  there: V | undefined
  /** Came from a load; not (first) set by us. */
  found: boolean
}

function claimsOn<V>(row: Row<V>): Claim<V>[] {
  return [{ owner: row.owner, value: row.wanted! }, ...(row.waiting ?? [])]
}
