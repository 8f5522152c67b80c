import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Conflict, DeltaView } from './delta.ts'
import type { Failures, RowStatus, Target } from './target.ts'
import { describeError } from '../lib/errors.ts'
import { Delta } from './delta.ts'
import { Retries } from './retries.ts'
import { walk } from './walk.ts'

export interface ReconcilerOptions<V extends object> {
  readonly target: Target<V>
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly log: Log
  /** Told after each round which keys were written, removed or failed. */
  readonly onChange?: (keys: readonly string[]) => void
  /** Which of two owners' values for one key counts: the lower rank, then the first owner by name. */
  readonly rank?: (value: V) => number
  /** Where the two sides are kept; by default in a Delta, which takes keys and owners of any kind. */
  readonly delta?: DeltaView<V>
  /** Time between audits; 0 for none. */
  readonly auditMs?: number
}

export interface ReconcilerStats {
  readonly desired: number
  readonly actual: number
  readonly pending: number
  /** Keys waiting for another attempt; the target itself counts as one when reading it or a whole batch failed. */
  readonly failing: number
  /** Keys that were found otherwise than we had left them, over all audits. */
  readonly drift: number
  /** How often the target was read again to compare it; those that failed do not count. */
  readonly audits: number
  /** The newest, while anything is failing. */
  readonly lastError: Error | undefined
}

const DEFAULT_AUDIT_MS = 60_000

/** Retry key for failures of the target as a whole. No entry can have it. */
const WHOLE = '\0target'

/**
 * Keeps a target equal to what its owners want.
 *
 * INVARIANTS
 * - One operation on the target at a time: rounds, audits (or their steps) and loads queue behind each other.
 * - Nothing is written before a load has succeeded, nor after a rejected write until the next load has: what is there is known
 *   or it is not touched.
 * - Sets before deletes: what replaces something is there before the old thing goes.
 * - Before `allowPrune`, nothing that a load found and nobody wanted is deleted.
 * - A failing key waits and is tried again for ever; it holds up no other key, and what was there for it stays.
 * - No public method rejects or throws for a failing target: failures are in `status`, `stats` and the log.
 */
export class Reconciler<V extends object> {
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  readonly #target: Target<V>
  readonly #delta: DeltaView<V>
  readonly #retries: Retries
  readonly #onChange: ((keys: readonly string[]) => void) | undefined
  readonly #auditMs: number
  /** Keys that waited for room and are tried again as soon as a delete has made some. */
  readonly #noRoom = new Set<string>()
  #known = false
  #drift = 0
  #audits = 0
  #lastError: Error | undefined
  #queue: Promise<void> = Promise.resolve()
  #nextRound: Promise<void> | undefined
  #stopped = false
  #cancelAudit: (() => void) | undefined

  constructor(options: ReconcilerOptions<V>) {
    this.clock = options.clock
    this.random = options.random
    this.log = options.log.child({ target: options.target.name })
    this.#target = options.target
    this.#delta = options.delta ?? new Delta((a: V, b: V) => options.target.equals(a, b), options.rank)
    this.#retries = new Retries(options.clock, options.random, () => void this.round())
    this.#onChange = options.onChange
    this.#auditMs = options.auditMs ?? DEFAULT_AUDIT_MS
  }

  /** Reads what is there. When that fails it is tried again by itself; nothing is written until it has succeeded. */
  async start(): Promise<void> {
    await this.#exclusive(() => this.#load(false))
    this.#armAudit()
  }

  /** From now on `owner` wants exactly `entries`. Takes effect with the next round. */
  replace(owner: string, entries: ReadonlyMap<string, V>): void {
    for (const key of this.#delta.replace(owner, entries)) this.#settled(key)
  }

  remove(owner: string): void {
    this.replace(owner, new Map())
  }

  /** Every source has delivered its first list: what was found at start and nobody wants is deleted, now and in later audits. */
  allowPrune(): void {
    this.#delta.allowPrune()
    void this.round()
  }

  /** Writes what is to be written. Resolves when everything that was wanted at the call has been tried. */
  round(): Promise<void> {
    // A round that has not begun yet will see everything that has been replaced so far.
    this.#nextRound ??= this.#exclusive(async () => {
      this.#nextRound = undefined
      await this.#runRound()
    })
    return this.#nextRound
  }

  /** Reads the target again, counts what differs from what we had left there, and repairs it. */
  async audit(): Promise<void> {
    if (this.#known && walk(this.#target, this.#delta) !== undefined) return this.#auditInPieces()
    return this.#exclusive(async () => {
      await this.#load(true)
      await this.#runRound()
    })
  }

  /** `pending` also for keys nobody wants (yet). */
  status(key: string): RowStatus {
    const failure = this.#retries.get(key)
    if (failure !== undefined) return { state: 'error', ...failure }
    return this.#delta.wanted(key) !== undefined && this.#known && !this.#delta.todo.has(key) ? DONE : PENDING
  }

  desired(key: string): V | undefined {
    return this.#delta.wanted(key)
  }

  /** What is there as far as we know. */
  actual(key: string): V | undefined {
    return this.#delta.there(key)
  }

  desiredEntries(): IterableIterator<readonly [string, V]> {
    return this.#delta.wantedEntries()
  }

  /** Keys that several owners want, and who has got them. */
  conflicts(): IterableIterator<Conflict<V>> {
    return this.#delta.conflicts()
  }

  stats(): ReconcilerStats {
    return {
      desired: this.#delta.desired,
      actual: this.#delta.actual,
      pending: this.#delta.todo.size,
      failing: this.#retries.size,
      drift: this.#drift,
      audits: this.#audits,
      lastError: this.#retries.size > 0 ? this.#lastError : undefined,
    }
  }

  /** No more timers or writes; resolves when a running operation has ended. What is in the target stays. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelAudit?.()
    await this.#queue
    this.#retries.stop()
  }

  #exclusive(operation: () => Promise<void>): Promise<void> {
    const run = this.#queue.then(async () => {
      if (!this.#stopped) await operation()
    })
    // Operations report their own failures; one that throws all the same must not block those behind it.
    this.#queue = run.catch((error: unknown) => this.#unexpected(error))
    return this.#queue
  }

  /** A big target is read a piece at a time, with rounds in between: no write waits for a million entries to be read. */
  async #auditInPieces(): Promise<void> {
    const steps = walk(this.#target, this.#delta)!
    let drift = 0
    for (let more = true; more;) {
      more = false
      await this.#exclusive(async () => {
        // A round that could not write reads everything itself.
        if (!this.#known) return
        try {
          const step = steps.next()
          if (step.done !== true) {
            drift += step.value
            more = true
            return
          }
        } catch (error) {
          return this.#wholeFailed(error, 'reading what is there failed')
        }
        this.#read(true, drift)
        await this.#runRound()
      })
      await breathe()
    }
  }

  async #load(isAudit: boolean): Promise<void> {
    try {
      this.#read(isAudit, await this.#loadAll())
    } catch (error) {
      this.#wholeFailed(error, 'reading what is there failed')
    }
  }

  async #loadAll(): Promise<number> {
    const steps = walk(this.#target, this.#delta)
    if (steps === undefined) return this.#delta.loaded(await this.#target.load())
    let drift = 0
    for (const found of steps) {
      drift += found
      await breathe()
    }
    return drift
  }

  #read(isAudit: boolean, drift: number): void {
    this.#known = true
    if (isAudit) this.#audits++
    // Also forgets what failed and turns out to be as it should.
    for (const key of this.#retries.keys()) if (!this.#delta.todo.has(key)) this.#settled(key)
    if (!isAudit || drift === 0) return
    this.#drift += drift
    this.log.warn({ drift }, 'entries were not as we had left them; repairing')
  }

  async #runRound(): Promise<void> {
    // A failed audit is repeated as well, but what is known meanwhile may be acted on.
    if ((!this.#known || this.#retries.get(WHOLE) !== undefined) && this.#retries.isDue(WHOLE))
      await this.#load(this.#known)
    if (!this.#known) return
    const touched: string[] = []
    await this.#writeSets([...this.#due(true)], touched)
    const freed = await this.#writeDeletes([...this.#due(false)], touched)
    if (freed && this.#noRoom.size > 0) await this.#writeSets([...this.#noRoom], touched)
    if (touched.length > 0) this.#tell(touched)
  }

  #tell(touched: readonly string[]): void {
    try {
      this.#onChange?.(touched)
    } catch (error) {
      this.log.error({ err: error }, `a listener failed: ${describeError(error)}`)
    }
  }

  *#due(sets: boolean): IterableIterator<string> {
    for (const key of this.#delta.todo) {
      if ((this.#delta.wanted(key) !== undefined) === sets && this.#retries.isDue(key)) yield key
    }
  }

  async #writeSets(keys: readonly string[], touched: string[]): Promise<void> {
    const batch: (readonly [string, V])[] = []
    for (const key of keys) {
      const value = this.#delta.wanted(key)
      if (value !== undefined) batch.push([key, value])
    }
    const failures = await this.#write(batch.length, () => this.#target.set(batch), 'setting')
    if (failures === undefined) return
    for (const [key, value] of batch) {
      touched.push(key)
      const error = failures.get(key)
      if (error === undefined) {
        this.#delta.wasSet(key, value)
        this.#settled(key)
        continue
      }
      // Wanted otherwise meanwhile: the new value has not failed yet.
      const wanted = this.#delta.wanted(key)
      if (wanted === undefined || !this.#target.equals(wanted, value)) continue
      if (isNoRoom(error)) this.#noRoom.add(key)
      this.#failed(key, error)
    }
  }

  /** True when any was deleted. */
  async #writeDeletes(keys: readonly string[], touched: string[]): Promise<boolean> {
    const failures = await this.#write(keys.length, () => this.#target.delete(keys), 'deleting')
    if (failures === undefined) return false
    for (const key of keys) {
      touched.push(key)
      const error = failures.get(key)
      if (error === undefined) {
        this.#delta.wasDeleted(key)
        this.#settled(key)
      } else if (this.#delta.wanted(key) === undefined) this.#failed(key, error)
    }
    return failures.size < keys.length
  }

  /** Undefined when nothing was written, or nothing is known about it. */
  async #write(count: number, write: () => Promise<Failures>, what: string): Promise<Failures | undefined> {
    if (count === 0 || !this.#known) return undefined
    try {
      return await write()
    } catch (error) {
      this.#known = false
      this.#wholeFailed(error, `${what} ${count} entries failed`)
      return undefined
    }
  }

  /** It worked, or something else is wanted now. */
  #settled(key: string): void {
    this.#noRoom.delete(key)
    this.#retries.forget(key)
  }

  #failed(key: string, error: Error): void {
    this.#lastError = error
    this.#retries.failed(key, error)
    const attempts = this.#retries.get(key)?.attempts
    this.log.warn({ key, attempts, err: error }, `not applied, will retry: ${describeError(error)}`)
  }

  #wholeFailed(cause: unknown, message: string): void {
    const error = cause instanceof Error ? cause : new Error(String(cause))
    this.#lastError = error
    this.#retries.failed(WHOLE, error)
    this.log.error({ err: error }, `${message}, will read it again: ${describeError(error)}`)
  }

  #unexpected(cause: unknown): void {
    this.#known = false
    this.#wholeFailed(cause, 'reconciling failed')
  }

  /** A tenth of jitter, so that the nodes of a cluster do not all audit in the same second. */
  #armAudit(): void {
    if (this.#auditMs === 0 || this.#stopped) return
    const wait = this.#auditMs * (0.9 + 0.2 * this.random())
    this.#cancelAudit = this.clock.after(wait, () => void this.audit().then(() => this.#armAudit()))
  }
}

/** Lets everything else that is due run first. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

const DONE: RowStatus = { state: 'done' }
const PENDING: RowStatus = { state: 'pending' }

const NO_ROOM: ReadonlySet<unknown> = new Set(['map-full', 'BPF_E2BIG', 'BPF_ENOSPC', 'E2BIG', 'ENOSPC'])

/** The target has no room for a new entry; its old ones are as they were. */
export function isNoRoom(error: Error): boolean {
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    if (NO_ROOM.has((each as { code?: unknown }).code)) return true
  }
  return false
}
