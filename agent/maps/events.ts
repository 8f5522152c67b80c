import type { Address } from '../types/address.ts'
import { Event, EventType, MAPS } from './layout.gen.ts'

/** Ring of what the programs have to tell. Records are lost and counted (`event-lost`) when nobody reads it in time. */
export const EVENT_RING = MAPS.w_ev

export const EVENT_TYPES = EventType

/** A dropped packet. Addresses and ports are 0 where the packet was too damaged to tell. */
export interface DropEvent {
  readonly type: number
  /** DROP_REASONS. */
  readonly reason: number
  /** METRIC_DIRECTIONS. */
  readonly direction: number
  readonly protocol: number
  readonly ifindex: number
  /** CLOCK_MONOTONIC, nanoseconds. */
  readonly time: bigint
  readonly source: Address
  readonly destination: Address
  readonly sourcePort: number
  readonly destinationPort: number
  /** Bytes of the packet. */
  readonly length: number
}

/** Undefined for a record of another kind or an older, shorter one. */
export function decodeEvent(record: Buffer): DropEvent | undefined {
  if (record.length < Event.size || record.readUInt8(Event.type) !== EventType.DROP) return undefined
  return {
    type: record.readUInt8(Event.type),
    reason: record.readUInt8(Event.reason),
    direction: record.readUInt8(Event.dir),
    protocol: record.readUInt8(Event.proto),
    ifindex: record.readUInt32LE(Event.ifindex),
    time: record.readBigUInt64LE(Event.tsNs),
    source: record.readUInt32BE(Event.saddr) as Address,
    destination: record.readUInt32BE(Event.daddr) as Address,
    sourcePort: record.readUInt16BE(Event.sport),
    destinationPort: record.readUInt16BE(Event.dport),
    length: record.readUInt32LE(Event.len),
  }
}
