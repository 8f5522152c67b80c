import type { Address } from '../types/address.ts'
import { Event, EventType, MAPS, TracePoint } from './layout.gen.ts'

/** Ring of what the programs have to tell. Records are lost and counted (`event-lost`) when nobody reads it in time. */
export const EVENT_RING = MAPS.w_ev

export const EVENT_TYPES = EventType
export const TRACE_POINTS = TracePoint

/** A packet that was dropped, or traced. Addresses and ports are 0 where the packet was too damaged to tell. */
export interface PacketEvent {
  /** EVENT_TYPES. */
  readonly type: number
  /** DROP_REASONS; 0 for a traced packet. */
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
  /** A traced packet as it left. */
  readonly newSource: Address
  readonly newDestination: Address
  readonly newSourcePort: number
  readonly newDestinationPort: number
  readonly tcpFlags: number
  /** TRACE_POINTS. */
  readonly point: number
  /** From a backend to its client. */
  readonly isAnswer: boolean
}

/** The record at `at`; undefined for one of another kind or an older, shorter one. */
export function decodeEvent(data: Buffer, at = 0, length = data.length - at): PacketEvent | undefined {
  if (length < Event.size) return undefined
  const type = data.readUInt8(at + Event.type)
  if (type !== EventType.DROP && type !== EventType.TRACE) return undefined
  return {
    type,
    reason: data.readUInt8(at + Event.reason),
    direction: data.readUInt8(at + Event.dir),
    protocol: data.readUInt8(at + Event.proto),
    ifindex: data.readUInt32LE(at + Event.ifindex),
    time: data.readBigUInt64LE(at + Event.tsNs),
    source: data.readUInt32BE(at + Event.saddr) as Address,
    destination: data.readUInt32BE(at + Event.daddr) as Address,
    sourcePort: data.readUInt16BE(at + Event.sport),
    destinationPort: data.readUInt16BE(at + Event.dport),
    length: data.readUInt32LE(at + Event.len),
    newSource: data.readUInt32BE(at + Event.newSaddr) as Address,
    newDestination: data.readUInt32BE(at + Event.newDaddr) as Address,
    newSourcePort: data.readUInt16BE(at + Event.newSport),
    newDestinationPort: data.readUInt16BE(at + Event.newDport),
    tcpFlags: data.readUInt8(at + Event.tcpFlags),
    point: data.readUInt8(at + Event.point),
    isAnswer: data.readUInt8(at + Event.answer) !== 0,
  }
}
