import type { Failures, Target } from '../../agent/reconcile/target.ts'

export class FaultError extends Error {
  readonly code: string

  constructor(code: string) {
    super(code)
    this.code = code
  }
}

/** What went to the target, in order. */
export type Operation = readonly ['load'] | readonly ['set', string] | readonly ['delete', string]

/** A target that holds its entries in memory, with room for so many, and faults on demand. */
export class MemoryTarget<V> implements Target<V> {
  readonly name = 'memory'
  /** What is really there. Tests may tamper with it. */
  readonly entries: Map<string, V>
  readonly operations: Operation[] = []
  capacity = Infinity
  /** The error for this key, if it is to fail. */
  failKey: (verb: 'set' | 'delete', key: string) => Error | undefined = () => undefined
  /** Rejects the next whole call, after having applied a part of it. */
  failCall: (verb: 'load' | 'set' | 'delete') => Error | undefined = () => undefined
  /** Awaited by every call before it does anything. */
  gate: Promise<void> = Promise.resolve()
  readonly #equals: (a: V, b: V) => boolean
  #busy = false

  constructor(entries: Map<string, V> = new Map(), equals: (a: V, b: V) => boolean = (a, b) => a === b) {
    this.entries = entries
    this.#equals = equals
  }

  /** An operation has begun and not ended. */
  get busy(): boolean {
    return this.#busy
  }

  load(): Promise<ReadonlyMap<string, V>> {
    return this.#call(() => {
      this.operations.push(['load'])
      const error = this.failCall('load')
      if (error !== undefined) throw error
      return new Map(this.entries)
    })
  }

  set(batch: readonly (readonly [key: string, value: V])[]): Promise<Failures> {
    return this.#call(() => {
      const failures = new Map<string, Error>()
      const fatal = this.failCall('set')
      for (const [i, [key, value]] of batch.entries()) {
        if (fatal !== undefined && i >= batch.length / 2) throw fatal
        this.operations.push(['set', key])
        const noRoom = !this.entries.has(key) && this.entries.size >= this.capacity
        const error = this.failKey('set', key) ?? (noRoom ? new FaultError('BPF_E2BIG') : undefined)
        if (error === undefined) this.entries.set(key, value)
        else failures.set(key, error)
      }
      return failures
    })
  }

  delete(keys: readonly string[]): Promise<Failures> {
    return this.#call(() => {
      const failures = new Map<string, Error>()
      const fatal = this.failCall('delete')
      for (const [i, key] of keys.entries()) {
        if (fatal !== undefined && i >= keys.length / 2) throw fatal
        this.operations.push(['delete', key])
        const error = this.failKey('delete', key)
        if (error === undefined) this.entries.delete(key)
        else failures.set(key, error)
      }
      return failures
    })
  }

  equals(a: V, b: V): boolean {
    return this.#equals(a, b)
  }

  async #call<T>(operation: () => T): Promise<T> {
    if (this.#busy) throw new FaultError('two operations at a time')
    this.#busy = true
    try {
      await this.gate
      return operation()
    } finally {
      this.#busy = false
    }
  }
}
