/**
 * The two answers of etcd that come by the million, read from their bytes without an object for each of their fields
 * (`etcdserverpb.RangeResponse`, `WatchResponse`, `mvccpb.KeyValue`; fields as in etcd's rpc.proto and kv.proto).
 */

/** A key as it lies in a received message. Its bytes are the message's: whoever keeps them must copy them. */
export class KeyValue {
  readonly bytes: Buffer
  keyAt = 0
  keyEnd = 0
  valueAt = 0
  valueEnd = 0
  modified = 0

  /** The `KeyValue` that begins at `at` and ends at `end`. */
  constructor(bytes: Buffer, at: number, end: number) {
    this.bytes = bytes
    const reader = new Reader(bytes, at, end)
    while (reader.at < end) {
      const tag = reader.varint()
      if (tag === 0x0a) [this.keyAt, this.keyEnd] = [reader.begin(), reader.at]
      else if (tag === 0x2a) [this.valueAt, this.valueEnd] = [reader.begin(), reader.at]
      else if (tag === 0x18) this.modified = reader.varint()
      else reader.skip(tag)
    }
  }

  get key(): Buffer {
    return this.bytes.subarray(this.keyAt, this.keyEnd)
  }

  get value(): Buffer {
    return this.bytes.subarray(this.valueAt, this.valueEnd)
  }

  /** As etcd's JSON has it. */
  get mod_revision(): string {
    return String(this.modified)
  }
}

export interface WatchEvent {
  readonly type: 'Put' | 'Delete'
  readonly kv: KeyValue
}

export interface Header {
  /** Decimal. */
  readonly cluster_id: string
  /** Decimal. */
  readonly revision: string
}

/**
 * The events of one message, of which an etcd that catches up sends any number: each is read when it is asked for, so that
 * whoever takes them in portions does no more than that in a turn.
 */
export class WatchEvents implements Iterable<WatchEvent> {
  readonly #bytes: Buffer
  /** Where each event begins and ends, in turn. */
  readonly #bounds: readonly number[]

  constructor(bytes: Buffer, bounds: readonly number[]) {
    this.#bytes = bytes
    this.#bounds = bounds
  }

  get length(): number {
    return this.#bounds.length / 2
  }

  /** @throws RangeError for bytes that are no event */
  at(i: number): WatchEvent {
    return readEvent(this.#bytes, this.#bounds[2 * i]!, this.#bounds[2 * i + 1]!)
  }

  *[Symbol.iterator](): Iterator<WatchEvent> {
    for (let i = 0; i < this.length; i++) yield this.at(i)
  }
}

const NO_HEADER: Header = { cluster_id: '0', revision: '0' }

/** One page of a list. */
export class RangePage {
  readonly header: Header
  readonly more: boolean
  /** Of the whole range. */
  readonly total: number
  readonly #bytes: Buffer
  /** Where each key begins, and where the last one ends. */
  readonly #starts: number[] = []
  readonly #ends: number[] = []

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    let header = NO_HEADER
    let more = false
    let total = 0
    const reader = new Reader(bytes, 0, bytes.length)
    while (reader.at < bytes.length) {
      const tag = reader.varint()
      if (tag === 0x12) {
        this.#starts.push(reader.begin())
        this.#ends.push(reader.at)
      } else if (tag === 0x0a) header = readHeader(bytes, reader.begin(), reader.at)
      else if (tag === 0x18) more = reader.varint() !== 0
      else if (tag === 0x20) total = reader.varint()
      else reader.skip(tag)
    }
    this.header = header
    this.more = more
    this.total = total
  }

  get length(): number {
    return this.#starts.length
  }

  at(i: number): KeyValue {
    return new KeyValue(this.#bytes, this.#starts[i]!, this.#ends[i]!)
  }
}

/** What the watch stream says. */
export interface WatchMessage {
  readonly header: Header
  readonly watch_id: string
  readonly created: boolean
  readonly canceled: boolean
  readonly compact_revision: string
  readonly cancel_reason: string
  readonly events: WatchEvents
}

export function decodeWatchMessage(bytes: Buffer): WatchMessage {
  const message = {
    ...{ header: NO_HEADER, watch_id: '0', created: false, canceled: false },
    ...{ compact_revision: '0', cancel_reason: '' },
  }
  const bounds: number[] = []
  const reader = new Reader(bytes, 0, bytes.length)
  while (reader.at < bytes.length) {
    const tag = reader.varint()
    if (tag === 0x5a) bounds.push(reader.begin(), reader.at)
    else if (tag === 0x0a) message.header = readHeader(bytes, reader.begin(), reader.at)
    else if (tag === 0x10) message.watch_id = reader.signed()
    else if (tag === 0x18) message.created = reader.varint() !== 0
    else if (tag === 0x20) message.canceled = reader.varint() !== 0
    else if (tag === 0x28) message.compact_revision = String(reader.varint())
    else if (tag === 0x32) message.cancel_reason = bytes.toString('utf8', reader.begin(), reader.at)
    else reader.skip(tag)
  }
  return { ...message, events: new WatchEvents(bytes, bounds) }
}

function readEvent(bytes: Buffer, at: number, end: number): WatchEvent {
  let type: WatchEvent['type'] = 'Put'
  let kv: KeyValue | undefined
  const reader = new Reader(bytes, at, end)
  while (reader.at < end) {
    const tag = reader.varint()
    if (tag === 0x08) type = reader.varint() === 1 ? 'Delete' : 'Put'
    else if (tag === 0x12) kv = new KeyValue(bytes, reader.begin(), reader.at)
    else reader.skip(tag)
  }
  return { type, kv: kv ?? new KeyValue(bytes, end, end) }
}

/** Answers come by the million, and mostly from the etcd that gave the last one. */
let lastCluster = { bytes: Buffer.alloc(0), id: '0' }

function clusterId(bytes: Buffer, at: number, end: number): string {
  if (bytes.compare(lastCluster.bytes, 0, lastCluster.bytes.length, at, end) === 0) return lastCluster.id
  const id = new Reader(bytes, at, end).exact().toString()
  lastCluster = { bytes: Buffer.from(bytes.subarray(at, end)), id }
  return id
}

function readHeader(bytes: Buffer, at: number, end: number): Header {
  let cluster = '0'
  let revision = 0
  const reader = new Reader(bytes, at, end)
  while (reader.at < end) {
    const tag = reader.varint()
    if (tag === 0x08) {
      const from = reader.at
      reader.skip(tag)
      cluster = clusterId(bytes, from, reader.at)
    } else if (tag === 0x18) revision = reader.varint()
    else reader.skip(tag)
  }
  return { cluster_id: cluster, revision: String(revision) }
}

/** The message cannot be what it should be. */
function malformed(): never {
  throw new RangeError('malformed protobuf message')
}

/** Protobuf's encoding, as far as these messages use it. */
class Reader {
  readonly #bytes: Buffer
  readonly #end: number
  at: number

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes
    this.#end = end
    this.at = at
  }

  /** Exact up to 2^53: revisions, counts and tags are. */
  varint(): number {
    let byte = this.#bytes[this.at++]!
    if (byte < 0x80 && this.at <= this.#end) return byte
    let value = byte & 0x7f
    for (let factor = 128; ; factor *= 128) {
      if (this.at >= this.#end || factor > 2 ** 63) return malformed()
      byte = this.#bytes[this.at++]!
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
  }

  /** An int64, in decimal. */
  signed(): string {
    const byte = this.#bytes[this.at]!
    return byte < 0x80 ? String(this.varint()) : BigInt.asIntN(64, this.exact()).toString()
  }

  /** All 64 bits. */
  exact(): bigint {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      if (this.at >= this.#end || shift > 63n) return malformed()
      const byte = this.#bytes[this.at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asUintN(64, value)
    }
  }

  /** Where the field of given length that comes next begins; afterwards `at` is its end. */
  begin(): number {
    const length = this.varint()
    const begin = this.at
    this.at += length
    if (this.at > this.#end) malformed()
    return begin
  }

  skip(tag: number): void {
    const kind = tag & 7
    if (kind === 0) this.varint()
    else if (kind === 2) this.begin()
    else if (kind === 1) this.at += 8
    else if (kind === 5) this.at += 4
    else malformed()
    if (this.at > this.#end) malformed()
  }
}
