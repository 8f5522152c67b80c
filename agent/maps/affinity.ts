import type { Codec } from './codec.ts'
import { AffKey, AffVal, MAPS } from './layout.gen.ts'

/** Session affinity, written by the programs. */
export const AFFINITY_MAP = MAPS.w_aff4_v1

export interface AffinityKey {
  /** A netns cookie, or an IPv4 address: its four bytes in network order read as a little-endian number. */
  readonly client: bigint
  readonly serviceId: number
  readonly isNetns: boolean
}

export interface AffinityValue {
  /** CLOCK_MONOTONIC, seconds. */
  readonly last: number
  readonly backendId: number
}

export const affinityKey: Codec<AffinityKey> = {
  size: AffKey.size,
  encode(key, buffer, offset = 0) {
    buffer.writeBigUInt64LE(key.client, offset + AffKey.client)
    buffer.writeUInt32LE(key.serviceId, offset + AffKey.svcId)
    buffer.writeUInt8(key.isNetns ? 1 : 0, offset + AffKey.isNetns)
    buffer.fill(0, offset + AffKey.zero, offset + AffKey.size)
  },
  decode(buffer, offset = 0) {
    return {
      client: buffer.readBigUInt64LE(offset + AffKey.client),
      serviceId: buffer.readUInt32LE(offset + AffKey.svcId),
      isNetns: buffer.readUInt8(offset + AffKey.isNetns) !== 0,
    }
  },
}

export const affinityValue: Codec<AffinityValue> = {
  size: AffVal.size,
  encode(value, buffer, offset = 0) {
    buffer.writeUInt32LE(value.last, offset + AffVal.lastS)
    buffer.writeUInt32LE(value.backendId, offset + AffVal.backendId)
  },
  decode(buffer, offset = 0) {
    return {
      last: buffer.readUInt32LE(offset + AffVal.lastS),
      backendId: buffer.readUInt32LE(offset + AffVal.backendId),
    }
  },
}
