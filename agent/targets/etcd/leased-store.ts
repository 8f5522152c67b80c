import type { Etcd3, ILeaseKeepAliveResponse, IRequestOp } from 'etcd3'
import type { Clock } from '../../lib/clock.ts'
import type { EtcdEndpoint } from '../../lib/etcd.ts'
import type { Log } from '../../lib/log.ts'
import { EtcdLeaseInvalidError } from 'etcd3'
import { CALL_TIMEOUT_MS, createEtcdClient, EtcdError, prefixEnd } from '../../lib/etcd.ts'
import { describeError } from '../../lib/errors.ts'
import { LeaseBook } from './leases.ts'

/** etcd refuses transactions of more than 128 operations, and requests of more than 1.5 MiB. */
const MAX_OPERATIONS = 128
const MAX_BYTES = 1 << 20
const PAGE = 5000
/** While etcd is away: how often keys and leases are looked after. */
const RETRY_MS = 2000
/** As many calls in a row have failed: a client whose connection hangs half-open never recovers by itself. */
const FAILURES_PER_CLIENT = 3

export interface LeasedStoreOptions {
  readonly endpoint: EtcdEndpoint
  readonly clock: Clock
  readonly log: Log
  /** Time to live of the leases; default 15 min. */
  readonly ttlSeconds?: number
  /** How values are written in strings: as text (default), or one character for each byte so that any bytes can be held. */
  readonly form?: 'utf8' | 'latin1'
}

type Entry = readonly [key: string, text: string]

/**
 * Keys in etcd that live as long as somebody answers for them. All hang on leases, which are kept alive here; when one
 * is lost all the same (etcd was emptied, or away for longer than the lease lives), its keys are written again.
 *
 * Keys found on leases of an earlier process are taken over together with those leases: they must not run out while their
 * values are right and so nobody writes them. `close` leaves everything in place.
 */
export class LeasedStore {
  readonly #options: LeasedStoreOptions
  readonly #ttl: number
  readonly #form: 'utf8' | 'latin1'
  readonly #book = new LeaseBook()
  /** What every key of ours is to hold, to write it again. */
  readonly #values = new Map<string, string>()
  /** Keys without a living lease. */
  readonly #orphans = new Set<string>()
  #client: Etcd3
  #failures = 0
  #queue: Promise<unknown> = Promise.resolve()
  #cancelTimer: () => void = () => undefined
  #closed = false

  constructor(options: LeasedStoreOptions) {
    this.#options = options
    this.#ttl = options.ttlSeconds ?? 900
    this.#form = options.form ?? 'utf8'
    this.#client = createEtcdClient(options.endpoint)
    this.#tendIn((this.#ttl * 1000) / 3)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelTimer()
    await this.#queue
    this.#client.close()
  }

  /** Keys and values under the prefixes, and of the single `keys`, as they are. */
  list(prefixes: readonly string[], keys: readonly string[] = []): Promise<ReadonlyMap<string, string>> {
    return this.#exclusive(async () => {
      const found = new Map<string, string>()
      for (const prefix of prefixes) await this.#listRange(prefix, prefixEnd(prefix), found)
      for (const key of keys) await this.#listRange(key, undefined, found)
      for (const key of this.#values.keys()) {
        if (found.has(key)) continue
        if (keys.includes(key) || prefixes.some((prefix) => key.startsWith(prefix))) this.#forget(key)
      }
      await this.#keepAlive()
      return found
    })
  }

  /** Writes in the order given. What could not be written is returned with the reason, everything else is stored. */
  put(entries: readonly Entry[]): Promise<Map<string, Error>> {
    return this.#exclusive(() => this.#put(entries))
  }

  delete(keys: readonly string[]): Promise<Map<string, Error>> {
    return this.#exclusive(async () => {
      const failures = new Map<string, Error>()
      for (let i = 0; i < keys.length; i += MAX_OPERATIONS) {
        const chunk = keys.slice(i, i + MAX_OPERATIONS)
        const operations = chunk.map((key) => ({ request_delete_range: { key: Buffer.from(key) } }))
        try {
          await this.#call((client) => client.kv.txn({ success: operations }))
          for (const key of chunk) this.#forget(key)
        } catch (error) {
          for (const key of chunk) failures.set(key, error as Error)
        }
      }
      return failures
    })
  }

  /** Looks at once whether all leases still live; after a connection was lost, for example. */
  verify(): void {
    this.#tendIn(0)
  }

  /** What `key` holds as far as we know: what was written last, or found. */
  held(key: string): string | undefined {
    return this.#values.get(key)
  }

  /** Keys under `prefix` that hold something as far as we know. */
  *heldKeys(prefix: string): IterableIterator<string> {
    for (const key of this.#values.keys()) if (key.startsWith(prefix)) yield key
  }

  async #listRange(from: string, end: Buffer | undefined, found: Map<string, string>): Promise<void> {
    let key = Buffer.from(from)
    let revision: string | undefined
    for (;;) {
      const page = await this.#call((client) =>
        client.kv.range({
          key,
          limit: PAGE,
          ...(end === undefined ? {} : { range_end: end }),
          ...(revision === undefined ? {} : { revision }),
        }),
      )
      revision ??= page.header.revision
      for (const kv of page.kvs) {
        const name = kv.key.toString('utf8')
        const text = kv.value.toString(this.#form)
        found.set(name, text)
        if (!this.#values.has(name)) this.#values.set(name, text)
        if (kv.lease !== '0') {
          this.#book.attach(name, kv.lease)
          this.#orphans.delete(name)
        } else {
          this.#book.detach(name)
          this.#orphans.add(name)
        }
      }
      const last = page.kvs[page.kvs.length - 1]
      if (!page.more || last === undefined) return
      key = Buffer.concat([last.key, Buffer.from([0])])
    }
  }

  async #put(entries: readonly Entry[]): Promise<Map<string, Error>> {
    const failures = new Map<string, Error>()
    let chunk: Entry[] = []
    let bytes = 0
    const flush = async (): Promise<void> => {
      if (chunk.length > 0) await this.#putChunk(chunk, failures)
      chunk = []
      bytes = 0
    }
    for (const entry of entries) {
      const size = entry[0].length + Buffer.byteLength(entry[1], this.#form)
      if (chunk.length === MAX_OPERATIONS || bytes + size > MAX_BYTES) await flush()
      chunk.push(entry)
      bytes += size
    }
    await flush()
    return failures
  }

  async #putChunk(chunk: readonly Entry[], failures: Map<string, Error>): Promise<void> {
    try {
      await this.#putTogether(chunk)
    } catch (error) {
      if (error instanceof EtcdLeaseInvalidError) {
        // One of the leases went unnoticed; all are looked at, so that the second attempt has living ones.
        await this.#keepAlive().catch(() => undefined)
        await this.#putTogether(chunk).catch((again: unknown) => this.#allFailed(chunk, failures, again))
      } else if (chunk.length > 1 && isRefusal(error)) {
        // etcd took none of them because of some of them.
        for (const entry of chunk) await this.#putChunk([entry], failures)
      } else {
        this.#allFailed(chunk, failures, error)
      }
    }
  }

  #allFailed(chunk: readonly Entry[], failures: Map<string, Error>, error: unknown): void {
    for (const [key] of chunk) failures.set(key, error as Error)
  }

  async #putTogether(chunk: readonly Entry[]): Promise<void> {
    const planned: [key: string, text: string, lease: string][] = []
    for (const [key, text] of chunk) {
      const lease = this.#book.choose(key) ?? (await this.#grant())
      // Taken before it is written, so that no more than the limit choose it; given back when the write fails.
      this.#book.attach(key, lease)
      planned.push([key, text, lease])
    }
    const success = planned.map(([key, text, lease]): IRequestOp => ({
      request_put: { key: Buffer.from(key), value: Buffer.from(text, this.#form), lease },
    }))
    try {
      await this.#call((client) => client.kv.txn({ success }))
    } catch (error) {
      for (const [key] of planned) if (!this.#values.has(key)) this.#book.detach(key)
      throw error
    }
    for (const [key, text] of planned) {
      this.#values.set(key, text)
      this.#orphans.delete(key)
    }
  }

  async #grant(): Promise<string> {
    const { ID } = await this.#call((client) => client.leaseClient.leaseGrant({ TTL: this.#ttl }))
    this.#book.granted(ID)
    return ID
  }

  #forget(key: string): void {
    this.#values.delete(key)
    this.#orphans.delete(key)
    this.#book.detach(key)
  }

  /** Renews every lease, and writes again what hung on those that are gone. */
  async #tend(): Promise<void> {
    let again = (this.#ttl * 1000) / 3
    try {
      await this.#exclusive(async () => {
        await this.#keepAlive()
        if (this.#orphans.size === 0) return
        const failures = await this.#put(this.#orphanEntries())
        for (const [key, error] of failures) throw new EtcdError('etcd-put', `cannot write ${key}`, { cause: error })
      })
    } catch (error) {
      again = Math.min(again, RETRY_MS)
      this.#options.log.warn({ err: error }, `leases could not be looked after: ${describeError(error)}`)
    }
    this.#tendIn(again)
  }

  /** Announcements of completeness last, for they must not be seen before what they announce. */
  #orphanEntries(): Entry[] {
    const keys = [...this.#orphans].sort((a, b) => Number(isCanary(a)) - Number(isCanary(b)))
    return keys.map((key) => [key, this.#values.get(key) ?? ''])
  }

  #tendIn(ms: number): void {
    this.#cancelTimer()
    if (this.#closed) return
    this.#cancelTimer = this.#options.clock.after(ms, () => {
      this.#tend().catch((error: unknown) => this.#options.log.error({ err: error }, 'looking after leases failed'))
    })
  }

  /** One stream for one round: a stream kept open would have to be watched for silence. */
  async #keepAlive(): Promise<void> {
    const leases = this.#book.leases()
    if (leases.length === 0) return
    const stream = await this.#client.leaseClient.leaseKeepAlive()
    const open = new Set(leases)
    try {
      await new Promise<void>((resolve, reject) => {
        const cancel = this.#options.clock.after(CALL_TIMEOUT_MS, () =>
          reject(new EtcdError('etcd-silent', 'etcd did not renew the leases in time')),
        )
        stream.on('error', (cause) => {
          cancel()
          reject(new EtcdError('etcd-lost', 'etcd did not renew the leases', { cause }))
        })
        stream.on('data', ({ ID, TTL }: ILeaseKeepAliveResponse) => {
          open.delete(ID)
          if (Number(TTL) <= 0) this.#onLost(ID)
          if (open.size > 0) return
          cancel()
          resolve()
        })
        for (const ID of leases) stream.write({ ID })
      })
      this.#failures = 0
    } catch (error) {
      this.#onFailure()
      throw error
    } finally {
      stream.cancel()
    }
  }

  #onLost(lease: string): void {
    const keys = this.#book.lost(lease)
    this.#options.log.warn({ lease, keys: keys.length }, 'a lease was lost; its keys are written again')
    for (const key of keys) if (this.#values.has(key)) this.#orphans.add(key)
    if (keys.length > 0) this.#tendIn(0)
  }

  async #call<T>(call: (client: Etcd3) => Promise<T>): Promise<T> {
    try {
      const result = await call(this.#client)
      this.#failures = 0
      return result
    } catch (error) {
      this.#onFailure()
      throw error
    }
  }

  #onFailure(): void {
    if (++this.#failures < FAILURES_PER_CLIENT || this.#closed) return
    this.#failures = 0
    this.#client.close()
    this.#client = createEtcdClient(this.#options.endpoint)
  }

  /** One operation at a time: leases are chosen, granted and lost without others looking. */
  #exclusive<T>(operation: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(() => {
      if (this.#closed) throw new EtcdError('stopped', 'the connection to etcd is closed')
      return operation()
    })
    this.#queue = run.catch(() => undefined) // its caller has the error; the next operation does not care
    return run
  }
}

function isCanary(key: string): boolean {
  return key.startsWith('cilium/synced/')
}

/** etcd understood the request and said no; anything else says nothing about the single key. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && /request is too large|InvalidArgument|exceed|INVALID_ARGUMENT/i.test(error.message)
}
