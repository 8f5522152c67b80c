import type { IKeyValue, IRangeRequest, IRangeResponse } from 'etcd3'
import type { Clock } from './clock.ts'
import type { EtcdClient, EtcdEndpoint } from './etcd.ts'
import type { EtcdChannels } from './etcd-channel.ts'
import type { WatchStream } from './etcd-stub.ts'
import type { Header, RangePage, WatchEvents, WatchMessage } from './etcd-wire.ts'
import { createEtcdClient, EtcdError, formatEtcdClusterId, prefixEnd } from './etcd.ts'
import { openWatchStream, rangePage } from './etcd-stub.ts'

/** No answer to `create_request`, or no byte on the watch stream, for this long: the connection is given up. */
export const CREATE_TIMEOUT_MS = 5000
export const STALL_MS = 15_000

export interface WatchSpec {
  readonly key: string
  /** All keys that start with `key`, instead of `key` alone. */
  readonly prefix: boolean
  /** First revision wanted. */
  readonly from: bigint
}

export interface WatchHandler {
  /** All events of one message, in order. Nothing more is read from the connection until a promise resolves; its rejection ends the session. */
  events(events: WatchEvents): void | Promise<void>
  /** Nothing happened up to `revision`. */
  progress(revision: bigint): void
  /** History from `from` on is gone; the watch has ended. */
  compacted(): void
}

interface OpenWatch {
  readonly handler: WatchHandler
  readonly created: (revision: bigint) => void
}

/**
 * One connection to one etcd: a client, and one watch stream that all watches share. It lives until the first thing goes
 * wrong (an error, silence, an answer from another etcd cluster); then everything on it ends and a new session has to be
 * opened, because a client that lost its peer may never find it again.
 *
 * WARNING: values in events and ranges are views into the received message; whoever keeps one must copy it.
 */
export class EtcdSession {
  readonly #client: EtcdClient
  readonly #clock: Clock
  readonly #onAlive: () => void
  readonly #pingMs: number
  readonly #ended = new AbortController()
  readonly #watches = new Map<string, OpenWatch>()
  /** Requests whose `created` is awaited; etcd answers them in order. */
  readonly #creating: OpenWatch[] = []
  #stream: WatchStream | undefined
  #opening: Promise<void> | undefined
  #lastByte = 0
  #cancelTimer: () => void = () => undefined
  #clusterId: string | undefined
  /** The same as it comes with every answer. */
  #answeredBy = ''

  /** @throws EtcdError when a TLS file cannot be read */
  constructor(options: {
    endpoint: EtcdEndpoint
    /** Connections shared with other sessions; otherwise this one has its own. */
    channels?: EtcdChannels | undefined
    clock: Clock
    pingMs: number
    onAlive: () => void
  }) {
    this.#client = createEtcdClient(options.endpoint, options.channels)
    this.#clock = options.clock
    this.#pingMs = options.pingMs
    this.#onAlive = options.onAlive
    this.failure = new Promise((_, reject) =>
      this.#ended.signal.addEventListener('abort', () => reject(this.#ended.signal.reason as Error), { once: true }),
    )
    this.failure.catch(() => undefined) // nobody has to wait for it
  }

  /** Aborted with the reason when the session ends. */
  get ended(): AbortSignal {
    return this.#ended.signal
  }

  /** Rejects with the reason when the session ends. */
  readonly failure: Promise<never>

  /** Hex id of the etcd cluster; undefined before the first answer. */
  get clusterId(): string | undefined {
    return this.#clusterId
  }

  /** Ends the session; every pending call and watch ends with it. */
  close(reason: Error): void {
    if (this.#ended.signal.aborted) return
    this.#cancelTimer()
    this.#ended.abort(reason)
    this.#stream?.cancel()
    this.#client.close()
  }

  async range(request: IRangeRequest): Promise<IRangeResponse> {
    const response = await this.#client.kv.range(request)
    this.#ended.signal.throwIfAborted()
    this.#answered(response.header)
    return response
  }

  /** As `range`, for long lists. */
  async page(request: IRangeRequest): Promise<RangePage> {
    const page = await rangePage(this.#client, request)
    this.#ended.signal.throwIfAborted()
    this.#answered(page.header)
    return page
  }

  async get(key: string): Promise<{ kv: IKeyValue | undefined; revision: bigint }> {
    const response = await this.range({ key: Buffer.from(key) })
    return { kv: response.kvs[0], revision: BigInt(response.header.revision) }
  }

  /** Resolves with the store's revision once etcd has accepted the watch. */
  async watch(spec: WatchSpec, handler: WatchHandler): Promise<bigint> {
    await (this.#opening ??= this.#open())
    this.#ended.signal.throwIfAborted()
    const cancelTimeout = this.#clock.after(CREATE_TIMEOUT_MS, () =>
      this.close(new EtcdError('etcd-silent', `etcd did not accept a watch on ${spec.key} in time`)),
    )
    const created = new Promise<bigint>((resolve) => this.#creating.push({ handler, created: resolve }))
    this.#write({
      create_request: {
        key: Buffer.from(spec.key),
        ...(spec.prefix ? { range_end: prefixEnd(spec.key) } : {}),
        start_revision: spec.from.toString(),
        progress_notify: true,
      },
    })
    try {
      return await Promise.race([created, this.failure])
    } finally {
      cancelTimeout()
    }
  }

  async #open(): Promise<void> {
    const stream = await openWatchStream(this.#client)
    if (this.#ended.signal.aborted) return stream.cancel()
    this.#stream = stream
    this.#lastByte = this.#clock.now()
    stream.on('data', (message: WatchMessage) => this.#receive(message))
    stream.on('error', (cause: Error) =>
      this.close(new EtcdError('etcd-lost', `connection to etcd lost: ${cause.message}`, { cause })),
    )
    stream.on('end', () => this.close(new EtcdError('etcd-lost', 'etcd ended the watch stream')))
    this.#ping()
  }

  #write(request: object): void {
    this.#stream?.write(request)
  }

  /**
   * Asks for a sign of life whenever the stream was quiet for `pingMs`. The answer's revision is not used: it may be ahead
   * of events that are still to come. One missed answer is normal (a server that is catching up gives none).
   */
  #ping(): void {
    const due = this.#clock.now() + this.#pingMs
    this.#cancelTimer = this.#clock.after(this.#pingMs, () => {
      const now = this.#clock.now()
      // A timer that comes late says that we were busy or suspended, not that etcd was silent: what it sent is still unread.
      if (now - due < this.#pingMs && now - this.#lastByte >= STALL_MS) {
        return this.close(new EtcdError('etcd-silent', `etcd has sent nothing for ${STALL_MS / 1000} s`))
      }
      if (now - this.#lastByte >= this.#pingMs * 0.9) this.#write({ progress_request: {} })
      this.#ping()
    })
  }

  #receive(message: WatchMessage): void {
    if (this.#ended.signal.aborted) return
    this.#lastByte = this.#clock.now()
    try {
      this.#answered(message.header)
      this.#dispatch(message)
    } catch (error) {
      this.close(error as Error)
    }
  }

  /** What comes meanwhile waits where it is: in the end with etcd, not in our memory. */
  #holdUntil(busy: Promise<void>): void {
    this.#stream?.pause()
    busy.then(
      () => this.#stream?.resume(),
      (error: unknown) => this.close(error instanceof Error ? error : new EtcdError('etcd-protocol', String(error))),
    )
  }

  #dispatch(message: WatchMessage): void {
    if (message.created) {
      const watch = this.#creating.shift()
      if (watch === undefined) throw new EtcdError('etcd-protocol', 'etcd announced a watch that nobody asked for')
      if (message.canceled) throw new EtcdError('etcd-refused', `etcd refused a watch: ${message.cancel_reason}`)
      this.#watches.set(message.watch_id, watch)
      watch.created(BigInt(message.header.revision))
      return
    }
    const watch = this.#watches.get(message.watch_id)
    if (message.canceled) {
      this.#watches.delete(message.watch_id)
      if (message.compact_revision === '0') {
        throw new EtcdError('etcd-refused', `etcd ended a watch: ${message.cancel_reason || 'no reason given'}`)
      }
      watch?.handler.compacted()
    } else if (message.events.length > 0) {
      const busy = watch?.handler.events(message.events)
      if (busy !== undefined) this.#holdUntil(busy)
    } else {
      // Answers to progress requests carry watch id -1 and so find no watch.
      watch?.handler.progress(BigInt(message.header.revision))
    }
  }

  /** Every answer is evidence of life, and must come from the etcd cluster that gave the first one. */
  #answered(header: Header): void {
    if (header.cluster_id !== this.#answeredBy) this.#identify(header)
    this.#onAlive()
  }

  #identify(header: Header): void {
    const id = formatEtcdClusterId(header.cluster_id)
    this.#clusterId ??= id
    if (id !== this.#clusterId) {
      const error = new EtcdError('etcd-changed', `another etcd cluster answered: ${id} instead of ${this.#clusterId}`)
      this.close(error)
      throw error
    }
    this.#answeredBy = header.cluster_id
  }
}
