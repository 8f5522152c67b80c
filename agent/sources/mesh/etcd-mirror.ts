import type { IKeyValue } from 'etcd3'
import { EtcdError, prefixEnd } from '../../lib/etcd.ts'
import type { EtcdSession } from '../../lib/etcd-session.ts'

/** How the bytes of a value become a string: as text, or one character for each byte so that none is lost. */
export type ValueForm = 'utf8' | 'latin1'

/** What is done with each key; `tail` is the key without the prefix, `value` a copy. Must not throw. */
export interface MirrorHandler {
  put(tail: string, value: string): void
  delete(tail: string): void
}

const PAGE = 5000
/** etcd walks the whole rest of the range for each page, so a long range is read in bigger ones. */
const BIG_PAGE = 20_000
const BIG_RANGE = 200_000

/** Known under a revision of a store that is gone: any revision the new one has counts as a change. */
const STALE = -1n

/**
 * Keeps the keys of one prefix in step with etcd over any number of sessions.
 *
 * List at one revision, report what differs from what is known, then watch from the next revision on. Invariants:
 * - A key is reported deleted only by a delete event or by a list that was read to its end.
 * - The position moves only past events that were handled (or a watch's own progress notice): the revision in the header
 *   of a message is the store's, and may be far ahead of the events that were sent.
 */
export class PrefixMirror {
  #prefix: string
  readonly #handler: MirrorHandler
  readonly #form: ValueForm
  readonly #known = new Map<string, bigint>()
  /** Everything up to here was handled; undefined: list first. */
  #position: bigint | undefined

  constructor(prefix: string, handler: MirrorHandler, form: ValueForm = 'utf8') {
    this.#prefix = prefix
    this.#handler = handler
    this.#form = form
  }

  get size(): number {
    return this.#known.size
  }

  /** The next run lists, and takes every value as new: the store, or the place in it, is another one. */
  restart(prefix: string): void {
    this.#prefix = prefix
    this.#position = undefined
    for (const tail of this.#known.keys()) this.#known.set(tail, STALE)
  }

  /** Somebody reported this key before us: the next list reports it deleted if it is not there. */
  assume(tail: string): void {
    if (!this.#known.has(tail)) this.#known.set(tail, STALE)
  }

  /** Reports every known key as deleted, and starts from nothing. */
  drain(): void {
    this.#position = undefined
    for (const tail of this.#known.keys()) {
      this.#known.delete(tail)
      this.#handler.delete(tail)
    }
  }

  /** Follows the prefix until the session ends; `onSynced` says, again after each list, that nothing is missing. */
  async run(session: EtcdSession, onSynced: () => void): Promise<never> {
    for (;;) {
      const position = this.#position ?? (await this.#list(session))
      await this.#follow(session, position, onSynced)
      this.#position = undefined
    }
  }

  /** Resolves when history was compacted under us; rejects when the session ends. */
  async #follow(session: EtcdSession, position: bigint, onStarted: () => void): Promise<void> {
    let compact: () => void = () => undefined
    const compacted = new Promise<void>((resolve) => (compact = resolve))
    const revision = await session.watch(
      { key: this.#prefix, prefix: true, from: position + 1n },
      {
        events: (events) => {
          for (const { type, kv } of events) this.#apply(type === 'Delete', kv)
          this.#position = BigInt(events[events.length - 1]!.kv.mod_revision)
        },
        progress: (revision) => {
          if (this.#position !== undefined && revision > this.#position) this.#position = revision
        },
        compacted: compact,
      },
    )
    if (revision < position) {
      // Not the store we left, whatever it calls itself: an empty one, or one restored from a backup.
      this.restart(this.#prefix)
      session.close(new EtcdError('etcd-rewound', `etcd went back from revision ${position} to ${revision}`))
    }
    session.ended.throwIfAborted()
    onStarted()
    await Promise.race([compacted, session.failure])
  }

  #apply(deleted: boolean, kv: IKeyValue): void {
    const tail = this.#tail(kv)
    if (!deleted) {
      this.#known.set(tail, BigInt(kv.mod_revision))
      this.#handler.put(tail, kv.value.toString(this.#form))
    } else if (this.#known.delete(tail)) {
      this.#handler.delete(tail)
    }
  }

  async #list(session: EtcdSession): Promise<bigint> {
    const end = prefixEnd(this.#prefix)
    let seen = this.#known.size === 0 ? undefined : new Set<string>()
    let revision: string | undefined
    let key = Buffer.from(this.#prefix)
    let limit = PAGE
    for (;;) {
      // The first page is a linearizable read: a member that lags behind must not take us back in time.
      const page = await session
        .range({ key, range_end: end, limit, ...(revision === undefined ? {} : { revision, serializable: true }) })
        .catch((error: unknown) => {
          if (revision !== undefined && isCompacted(error)) return undefined
          throw error
        })
      if (page === undefined) {
        revision = undefined
        key = Buffer.from(this.#prefix)
        seen = new Set() // what the first pages held may be gone by now
        continue
      }
      revision ??= page.header.revision
      for (const kv of page.kvs) {
        const tail = this.#tail(kv)
        seen?.add(tail)
        const modified = BigInt(kv.mod_revision)
        if (this.#known.get(tail) === modified) continue
        this.#known.set(tail, modified)
        this.#handler.put(tail, kv.value.toString(this.#form))
      }
      const last = page.kvs[page.kvs.length - 1]
      if (!page.more || last === undefined) break
      key = Buffer.concat([last.key, Buffer.from([0])])
      if (Number(page.count) > BIG_RANGE) limit = BIG_PAGE
    }
    for (const tail of seen === undefined ? [] : this.#known.keys()) {
      if (seen?.has(tail)) continue
      this.#known.delete(tail)
      this.#handler.delete(tail)
    }
    return (this.#position = BigInt(revision))
  }

  #tail(kv: IKeyValue): string {
    return kv.key.toString('utf8', Buffer.byteLength(this.#prefix))
  }
}

function isCompacted(error: unknown): boolean {
  return error instanceof Error && /revision has been compacted/.test(error.message)
}
