import type { Reconciler } from './reconciler.ts'
import { describeError } from '../lib/errors.ts'
import { Retries } from './retries.ts'

export interface PlannerOptions<V extends object> {
  readonly reconciler: Reconciler<V>
  /** All that `owner` is to have; empty when it is gone. Pure. */
  readonly compute: (owner: string) => ReadonlyMap<string, V>
  /** When to run what has been marked; by default once the current turn's events are through. */
  readonly schedule?: (fn: () => void) => void
  /** How many owners are computed before a round writes them; only where owners never take over each other's keys. */
  readonly most?: number
}

/**
 * Between changes of tables and a reconciler: notes which owners are concerned, computes them once however often they were
 * marked, then runs one round.
 *
 * INVARIANTS
 * - `mark` only notes: it can be called from inside a Writer's call.
 * - An owner marked while a pass runs is computed again in the next one; nothing marked is lost.
 * - An owner whose computation throws keeps what it had and is computed again after a wait; it holds up no other.
 */
export class Planner<V extends object> {
  readonly #reconciler: Reconciler<V>
  readonly #compute: (owner: string) => ReadonlyMap<string, V>
  readonly #schedule: (fn: () => void) => void
  readonly #most: number
  readonly #retries: Retries
  #dirty = new Set<string>()
  #running: Promise<void> | undefined
  /** When the pass that is under way began. */
  #since: number | undefined
  #stopped = false

  constructor(options: PlannerOptions<V>) {
    this.#reconciler = options.reconciler
    this.#compute = options.compute
    this.#schedule = options.schedule ?? ((fn) => void setImmediate(fn))
    this.#most = options.most ?? Infinity
    this.#retries = new Retries(options.reconciler.clock, options.reconciler.random, () => this.#retry())
  }

  mark(owner: string): void {
    if (this.#stopped) return
    this.#dirty.add(owner)
    this.#running ??= this.#begin()
  }

  markAll(owners: Iterable<string>): void {
    for (const owner of owners) this.mark(owner)
  }

  /** How long the pass under way has taken; 0 when none is. */
  get stuckMs(): number {
    return this.#since === undefined ? 0 : this.#reconciler.clock.now() - this.#since
  }

  /** Owners whose computation fails, and why. */
  *failing(): IterableIterator<readonly [owner: string, error: Error]> {
    for (const owner of this.#retries.keys()) yield [owner, this.#retries.get(owner)!.error]
  }

  /** Resolves when nothing is marked and the round for it has ended. Owners waiting for another attempt do not count. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#dirty.clear()
    await this.idle()
    this.#retries.stop()
  }

  async #begin(): Promise<void> {
    try {
      do {
        this.#since = this.#reconciler.clock.now()
        await new Promise<void>((resolve) => this.#schedule(resolve))
        this.#pass()
        await this.#reconciler.round()
      } while (this.#dirty.size > 0)
    } catch (error) {
      this.#reconciler.log.error({ err: error }, `planning was interrupted: ${describeError(error)}`)
    } finally {
      this.#since = undefined
      this.#running = undefined
    }
  }

  #pass(): void {
    for (const owner of this.#take()) {
      try {
        this.#reconciler.replace(owner, this.#compute(owner))
        this.#retries.forget(owner)
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error))
        this.#retries.failed(owner, failure)
        this.#reconciler.log.error({ owner, err: failure }, `cannot work out its entries: ${describeError(failure)}`)
      }
    }
  }

  #take(): Iterable<string> {
    const owners = this.#dirty
    if (owners.size <= this.#most) {
      this.#dirty = new Set()
      return owners
    }
    const some: string[] = []
    for (const owner of owners) {
      if (some.push(owner) >= this.#most) break
    }
    for (const owner of some) owners.delete(owner)
    return some
  }

  #retry(): void {
    for (const owner of this.#retries.keys()) if (this.#retries.isDue(owner)) this.mark(owner)
  }
}
