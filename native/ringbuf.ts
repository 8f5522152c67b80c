import { MapType } from './constants.ts'
import { BpfError } from './errors.ts'
import type { Address } from './foreign.ts'
import { native } from './libbpf.ts'
import type { BpfMap } from './map.ts'
import { mapShared, pageSize, retire } from './mapped.ts'

const HEADER = 8
const DISCARDED = 0x4000_0000
const LENGTH = 0x3fff_ffff

/** Called per record with the ring's memory, where the record starts, and its length. Valid only until it returns: copy what is kept. */
export type OnRecord = (data: Buffer, offset: number, length: number) => void

/**
 * Reader of a BPF_MAP_TYPE_RINGBUF (Linux 5.8) through shared memory: an idle check is two loads, a record costs tens of
 * nanoseconds, and nothing native calls back. Drain it from a timer; one reader per map.
 */
export class RingBuffer {
  private readonly subject: string
  private readonly size: number
  private readonly consumerAt: Address
  private readonly producerAt: Address
  private readonly producerLength: number
  private readonly consumer: BigUint64Array
  private readonly producer: BigUint64Array
  private readonly data: Buffer
  private readonly headers: Int32Array
  private isOpen = true

  /** Map the ring; the map's fd may be closed afterwards. BPF_ARGUMENT for a map of another type. */
  constructor(map: BpfMap) {
    this.subject = map.name
    this.size = map.maxEntries
    if (map.type !== MapType.RINGBUF) {
      throw new BpfError({ fn: 'RingBuffer', code: 'BPF_ARGUMENT', subject: map.name, reason: 'not a ring buffer map' })
    }
    const page = pageSize()
    this.producerLength = page + 2 * this.size
    this.consumerAt = mapShared(map.fd, map.name, page, 0, true)
    try {
      this.producerAt = mapShared(map.fd, map.name, this.producerLength, page, false)
    } catch (error) {
      retire(this.consumerAt, page)
      throw error
    }
    const consumer = native().view(this.consumerAt, page)
    const producer = native().view(this.producerAt, this.producerLength)
    this.consumer = new BigUint64Array(consumer.buffer, consumer.byteOffset, 1)
    this.producer = new BigUint64Array(producer.buffer, producer.byteOffset, 1)
    // The data area is mapped twice in a row, so a record never wraps.
    this.data = producer.subarray(page)
    this.headers = new Int32Array(this.data.buffer, this.data.byteOffset, (2 * this.size) / 4)
  }

  /** Hand over every finished record, oldest first; returns how many. A record whose callback throws counts as read. */
  drain(onRecord: OnRecord): number {
    if (!this.isOpen) {
      throw new BpfError({ fn: 'RingBuffer', code: 'BPF_CLOSED', subject: this.subject, reason: 'already closed' })
    }
    // Doubles are exact for 2^53 bytes; loads and stores are atomic because the kernel writes on other cpus.
    let position = Number(Atomics.load(this.consumer, 0))
    const start = position
    const end = Number(Atomics.load(this.producer, 0))
    let records = 0
    try {
      while (position < end) {
        const at = position % this.size
        const header = Atomics.load(this.headers, at / 4)
        // The top bit is set while a program still writes the record.
        if (header < 0) break
        const length = header & LENGTH
        position += (length + HEADER + 7) & ~7
        if ((header & DISCARDED) !== 0) continue
        records++
        onRecord(this.data, at + HEADER, length)
      }
    } finally {
      if (position !== start) Atomics.store(this.consumer, 0, BigInt(position))
    }
    return records
  }

  /** Release both mappings. Doing it twice is fine. */
  close(): void {
    if (!this.isOpen) return
    this.isOpen = false
    retire(this.consumerAt, pageSize())
    retire(this.producerAt, this.producerLength)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
