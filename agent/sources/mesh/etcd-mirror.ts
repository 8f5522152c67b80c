import type { EtcdSession } from '../../lib/etcd-session.ts'
import type { KeyValue, RangePage, WatchEvents } from '../../lib/etcd-wire.ts'
import type { Revisions } from './revisions.ts'
import { EtcdError, prefixEnd } from '../../lib/etcd.ts'
import { TextRevisions } from './revisions.ts'

/** How the bytes of a value become a string: as text, or one character for each byte so that none is lost. */
export type ValueForm = 'utf8' | 'latin1'

/** What is done with each key; `tail` is the key without the prefix, `value` a copy. Must not throw. */
export interface MirrorHandler {
  put(tail: string, value: string): void
  delete(tail: string): void
  /** Takes a value where it lies, the tail beginning at `tailAt`; false hands it to `put`. Keeps nothing of its bytes. */
  take?(kv: KeyValue, tailAt: number): boolean
}

/** Code of the error a session ends with when the store is older than what was read of it: for all of its prefixes. */
export const REWOUND = 'etcd-rewound'

const PAGE = 5000
/** etcd walks the whole rest of the range for each page, so a long range is read in bigger ones. */
const BIG_PAGE = 10_000
const BIG_RANGE = 200_000

/**
 * Bytes of keys and values that are handled at a stretch: other work waits for a few milliseconds at most. An address has
 * some 250, a service with its backends many times that and as many times the work.
 */
const STRETCH = 1 << 15
/** Keys that are looked for, or reported gone, at a stretch. */
const STRETCH_KEYS = 500

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
  #prefixLength: number
  readonly #handler: MirrorHandler
  readonly #form: ValueForm
  readonly #known: Revisions
  /** Everything up to here was handled; undefined: list first. */
  #position: bigint | undefined
  #compactions = 0
  #draining: Promise<void> | undefined

  constructor(
    prefix: string,
    handler: MirrorHandler,
    form: ValueForm = 'utf8',
    known: Revisions = new TextRevisions(),
  ) {
    this.#prefix = prefix
    this.#prefixLength = Buffer.byteLength(prefix)
    this.#handler = handler
    this.#form = form
    this.#known = known
  }

  get size(): number {
    return this.#known.size
  }

  /** How often history was gone that was still to be read, and all had to be listed again. */
  get compactions(): number {
    return this.#compactions
  }

  /** The next run lists, and takes every value as new: the store, or the place in it, is another one. */
  restart(prefix: string): void {
    this.#prefix = prefix
    this.#prefixLength = Buffer.byteLength(prefix)
    this.#position = undefined
    this.#known.stale()
  }

  /** Somebody reported this key before us: the next list reports it deleted if it is not there. */
  assume(tail: string): void {
    this.#known.assume(tail)
  }

  /**
   * Reports every known key as deleted, and starts from nothing. The session it ran on must have ended; the next one waits
   * until all of them were reported.
   */
  drain(): Promise<void> {
    this.#position = undefined
    return (this.#draining ??= this.#forgetAll().finally(() => (this.#draining = undefined)))
  }

  /** Follows the prefix until the session ends; `onSynced` says, again after each list, that nothing is missing. */
  async run(session: EtcdSession, onSynced: () => void): Promise<never> {
    await this.#draining
    for (;;) {
      const position = this.#position ?? (await this.#list(session))
      await this.#follow(session, position, onSynced)
      this.#compactions++
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
          const next = this.#stretch(events, 0)
          return next < events.length ? this.#applyRest(session, events, next) : undefined
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
      session.close(new EtcdError(REWOUND, `etcd went back from revision ${position} to ${revision}`))
    }
    session.ended.throwIfAborted()
    onStarted()
    await Promise.race([compacted, session.failure])
  }

  /** An etcd that catches up sends up to a thousand revisions, and any number of keys, in one message. */
  async #applyRest(session: EtcdSession, events: WatchEvents, from: number): Promise<void> {
    for (let next = from; next < events.length;) {
      await breathe(session.ended)
      next = this.#stretch(events, next)
    }
  }

  /** Applies some of the events of a message; returns which is the next. */
  #stretch(events: WatchEvents, from: number): number {
    let bytes = 0
    let revision = 0
    let i = from
    for (; i < events.length; i++) {
      const { type, kv } = events.at(i)
      if (bytes >= STRETCH) {
        // A revision of which a part was applied does not count.
        if (kv.modified !== revision) this.#position = BigInt(revision)
        return i
      }
      revision = kv.modified
      if (type === 'Put') this.#put(kv)
      else this.#forget(this.#tail(kv))
      bytes += kv.valueEnd - kv.valueAt + kv.keyEnd - kv.keyAt
    }
    this.#position = BigInt(revision)
    return i
  }

  #put(kv: KeyValue): void {
    const at = kv.keyAt + this.#prefixLength
    if (!this.#known.note(kv.bytes, at, kv.keyEnd, kv.modified)) return
    if (this.#handler.take?.(kv, at) === true) return
    this.#handler.put(this.#tail(kv), kv.bytes.toString(this.#form, kv.valueAt, kv.valueEnd))
  }

  #forget(tail: string): void {
    if (this.#known.forget(tail)) this.#handler.delete(tail)
  }

  async #list(session: EtcdSession): Promise<bigint> {
    const end = prefixEnd(this.#prefix)
    this.#known.beginList()
    let revision: string | undefined
    let key = Buffer.from(this.#prefix)
    let limit = PAGE
    for (;;) {
      // The first page is a linearizable read: a member that lags behind must not take us back in time.
      const page: RangePage | undefined = await session
        .page({ key, range_end: end, limit, ...(revision === undefined ? {} : { revision, serializable: true }) })
        .catch((error: unknown) => {
          if (revision !== undefined && isCompacted(error)) return undefined
          throw error
        })
      if (page === undefined) {
        revision = undefined
        key = Buffer.from(this.#prefix)
        this.#known.beginList() // what the first pages held may be gone by now
        continue
      }
      revision ??= page.header.revision
      for (let i = 0, bytes = STRETCH; i < page.length; i++) {
        const kv = page.at(i)
        bytes += kv.valueEnd - kv.keyAt
        if (bytes >= STRETCH) {
          await breathe(session.ended)
          bytes = 0
        }
        this.#put(kv)
      }
      if (!page.more || page.length === 0) break
      key = Buffer.concat([page.at(page.length - 1).key, Buffer.from([0])])
      if (page.total > BIG_RANGE) limit = BIG_PAGE
    }
    await this.#forgetMissing(session.ended)
    return (this.#position = BigInt(revision))
  }

  /** As if a list had come back empty. */
  #forgetAll(): Promise<void> {
    this.#known.beginList()
    return this.#forgetMissing()
  }

  async #forgetMissing(ended?: AbortSignal): Promise<void> {
    for (const tails of this.#known.missing(STRETCH_KEYS)) {
      for (const tail of tails) this.#forget(tail)
      await breathe(ended)
    }
  }

  #tail(kv: KeyValue): string {
    return kv.bytes.toString('utf8', kv.keyAt + this.#prefixLength, kv.keyEnd)
  }
}

const waiting: (() => void)[] = []

function nextTurn(): void {
  waiting.shift()?.()
  if (waiting.length > 0) setImmediate(nextTurn)
}

/** Lets everything else that is due run first. Of all mirrors that wait one goes on in each turn: many clusters may be listed at a time. */
async function breathe(ended?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(nextTurn)
  })
  ended?.throwIfAborted()
}

function isCompacted(error: unknown): boolean {
  return error instanceof Error && /revision has been compacted/.test(error.message)
}
