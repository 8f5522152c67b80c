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
export class Delta<V extends object> {
  readonly #rows = new Map<string, Row<V>>()
  readonly #owned = new Map<string, ReadonlyMap<string, V>>()
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
    return this.#rows.get(key)?.wanted?.value
  }

  there(key: string): V | undefined {
    return this.#rows.get(key)?.there
  }

  /** Everything that is wanted, whoever wants it. */
  *wantedEntries(): IterableIterator<readonly [string, V]> {
    for (const [key, row] of this.#rows) if (row.wanted !== undefined) yield [key, row.wanted.value]
  }

  /** Keys that more than one owner wants. */
  *conflicts(): IterableIterator<Conflict<V>> {
    for (const key of this.#contested) {
      const row = this.#rows.get(key)!
      yield { key, winner: row.wanted!, losers: row.waiting! }
    }
  }

  /** From now on `owner` wants exactly `entries`, which must not change afterwards. Returns the keys whose wanted value changed. */
  replace(owner: string, entries: ReadonlyMap<string, V>): readonly string[] {
    const before = this.#owned.get(owner)
    if (entries.size === 0) this.#owned.delete(owner)
    else this.#owned.set(owner, entries)
    const changed: string[] = []
    if (before !== undefined) {
      for (const key of before.keys()) if (!entries.has(key) && this.#withdraw(owner, key)) changed.push(key)
    }
    for (const [key, value] of entries) {
      if (before?.get(key) !== value && this.#claim(owner, key, value)) changed.push(key)
    }
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
      row = { wanted: undefined, waiting: undefined, there: undefined, found: false }
      this.#rows.set(key, row)
    }
    return row
  }

  #claim(owner: string, key: string, value: V): boolean {
    const row = this.#row(key)
    const claim = { owner, value }
    if (row.wanted === undefined || (row.wanted.owner === owner && row.waiting === undefined)) {
      return this.#setWanted(key, row, claim)
    }
    const rivals = [row.wanted, ...(row.waiting ?? [])].filter((each) => each.owner !== owner)
    return this.#settle(key, row, [...rivals, claim])
  }

  #withdraw(owner: string, key: string): boolean {
    const row = this.#rows.get(key)
    if (row?.wanted === undefined) return false
    if (row.waiting === undefined) return row.wanted.owner === owner && this.#setWanted(key, row, undefined)
    return this.#settle(
      key,
      row,
      [row.wanted, ...row.waiting].filter((each) => each.owner !== owner),
    )
  }

  #settle(key: string, row: Row<V>, claims: Claim<V>[]): boolean {
    claims.sort((a, b) => this.#rank(a.value) - this.#rank(b.value) || (a.owner < b.owner ? -1 : 1))
    const [winner, ...losers] = claims
    row.waiting = losers.length === 0 ? undefined : losers
    if (losers.length === 0) this.#contested.delete(key)
    else this.#contested.add(key)
    return this.#setWanted(key, row, winner)
  }

  #setWanted(key: string, row: Row<V>, claim: Claim<V> | undefined): boolean {
    const before = row.wanted
    if (before === undefined && claim !== undefined) this.#wanted++
    if (before !== undefined && claim === undefined) this.#wanted--
    row.wanted = claim
    this.#classify(key, row)
    return before?.value !== claim?.value
  }

  #setThere(key: string, row: Row<V>, value: V | undefined): void {
    if (row.there === undefined && value !== undefined) this.#there++
    if (row.there !== undefined && value === undefined) this.#there--
    row.there = value
    this.#classify(key, row)
  }

  #classify(key: string, row: Row<V>): void {
    const { wanted, there } = row
    const differs =
      wanted === undefined
        ? there !== undefined && (this.#mayPrune || !row.found)
        : there === undefined || (wanted.value !== there && !this.#equals(wanted.value, there))
    if (differs) this.#todo.add(key)
    else this.#todo.delete(key)
    if (wanted === undefined && there === undefined) this.#rows.delete(key)
  }
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
  wanted: Claim<V> | undefined
  waiting: readonly Claim<V>[] | undefined
  there: V | undefined
  /** Came from a load; not (first) set by us. */
  found: boolean
}
