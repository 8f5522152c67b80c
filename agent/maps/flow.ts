import type { Address } from '../types/address.ts'
import type { Codec } from './codec.ts'
import { FlowFlag, FlowKey, FlowVal, MAPS } from './layout.gen.ts'

/** Flow state. Written by the programs; the agent reads it, and deletes flows that must not go on. */
export const FLOW_TCP_MAP = MAPS.w_flow4t_v1
/** TCP before it is established. */
export const FLOW_SYN_MAP = MAPS.w_flow4s_v1
export const FLOW_OTHER_MAP = MAPS.w_flow4a_v1
/** In the order in which flows move: who reads them one after the other misses none. */
export const FLOW_MAPS = [FLOW_SYN_MAP, FLOW_TCP_MAP, FLOW_OTHER_MAP] as const

export const FLOW_FLAGS = FlowFlag

const TCP = 6

/** Where a flow's entries can be, as the programs look for them. */
export function flowMaps(protocol: number): readonly { readonly name: string }[] {
  return protocol === TCP ? [FLOW_TCP_MAP, FLOW_SYN_MAP] : [FLOW_OTHER_MAP]
}

/** Where the programs put an entry. */
export function flowMapOf(protocol: number, flags: number): { readonly name: string } {
  if (protocol !== TCP) return FLOW_OTHER_MAP
  return (flags & FLOW_FLAGS.ESTABLISHED) === 0 ? FLOW_SYN_MAP : FLOW_TCP_MAP
}

export interface FlowTuple {
  readonly source: Address
  readonly destination: Address
  readonly sourcePort: number
  readonly destinationPort: number
}

/** The packet as it arrives. */
export interface FlowKeyFields extends FlowTuple {
  readonly protocol: number
}

/** The packet as it leaves, and what it belongs to. Times are CLOCK_MONOTONIC seconds. */
export interface FlowValueFields extends FlowTuple {
  /** Folded one's complement differences the rewrite makes, as the words lie in memory. */
  readonly addressDiff: number
  readonly portDiff: number
  readonly serviceId: number
  readonly backendId: number
  readonly expires: number
  readonly last: number
  /** FLOW_FLAGS. */
  readonly flags: number
  readonly created: number
}

export const flowKey: Codec<FlowKeyFields> = {
  size: FlowKey.size,
  encode(key, buffer, offset = 0) {
    buffer.writeUInt32BE(key.source, offset + FlowKey.saddr)
    buffer.writeUInt32BE(key.destination, offset + FlowKey.daddr)
    buffer.writeUInt16BE(key.sourcePort, offset + FlowKey.sport)
    buffer.writeUInt16BE(key.destinationPort, offset + FlowKey.dport)
    buffer.writeUInt8(key.protocol, offset + FlowKey.proto)
    buffer.fill(0, offset + FlowKey.zero, offset + FlowKey.size)
  },
  decode(buffer, offset = 0) {
    return {
      source: buffer.readUInt32BE(offset + FlowKey.saddr) as Address,
      destination: buffer.readUInt32BE(offset + FlowKey.daddr) as Address,
      sourcePort: buffer.readUInt16BE(offset + FlowKey.sport),
      destinationPort: buffer.readUInt16BE(offset + FlowKey.dport),
      protocol: buffer.readUInt8(offset + FlowKey.proto),
    }
  },
}

export const flowValue: Codec<FlowValueFields> = {
  size: FlowVal.size,
  encode(value, buffer, offset = 0) {
    buffer.writeUInt32BE(value.source, offset + FlowVal.rwSaddr)
    buffer.writeUInt32BE(value.destination, offset + FlowVal.rwDaddr)
    buffer.writeUInt16BE(value.sourcePort, offset + FlowVal.rwSport)
    buffer.writeUInt16BE(value.destinationPort, offset + FlowVal.rwDport)
    buffer.writeUInt16LE(value.addressDiff, offset + FlowVal.rwCsumAddr)
    buffer.writeUInt16LE(value.portDiff, offset + FlowVal.rwCsumPort)
    buffer.writeUInt32LE(value.serviceId, offset + FlowVal.svcId)
    buffer.writeUInt32LE(value.backendId, offset + FlowVal.backendId)
    buffer.writeUInt32LE(value.expires, offset + FlowVal.expiresS)
    buffer.writeUInt32LE(value.last, offset + FlowVal.lastS)
    buffer.writeUInt32LE(value.flags, offset + FlowVal.flags)
    buffer.writeUInt32LE(value.created, offset + FlowVal.createdS)
  },
  decode(buffer, offset = 0) {
    return {
      source: buffer.readUInt32BE(offset + FlowVal.rwSaddr) as Address,
      destination: buffer.readUInt32BE(offset + FlowVal.rwDaddr) as Address,
      sourcePort: buffer.readUInt16BE(offset + FlowVal.rwSport),
      destinationPort: buffer.readUInt16BE(offset + FlowVal.rwDport),
      addressDiff: buffer.readUInt16LE(offset + FlowVal.rwCsumAddr),
      portDiff: buffer.readUInt16LE(offset + FlowVal.rwCsumPort),
      serviceId: buffer.readUInt32LE(offset + FlowVal.svcId),
      backendId: buffer.readUInt32LE(offset + FlowVal.backendId),
      expires: buffer.readUInt32LE(offset + FlowVal.expiresS),
      last: buffer.readUInt32LE(offset + FlowVal.lastS),
      flags: buffer.readUInt32LE(offset + FlowVal.flags),
      created: buffer.readUInt32LE(offset + FlowVal.createdS),
    }
  },
}
