import type { Address } from '../types/address.ts'
import { type Codec, mappedStride, u32Codec } from './codec.ts'
import { MAPS, RnatVal } from './layout.gen.ts'

/** Service id → frontend. An array; all zero for an id that is not in use. */
export const REVNAT_MAP = MAPS.w_rnat4_v1

export const REVNAT_STRIDE = mappedStride(REVNAT_MAP)

/** Address 0.0.0.0: a NodePort as sockets look it up. */
export interface RevNatValue {
  readonly address: Address
  readonly port: number
  readonly flags: number
}

export const revNatKey = u32Codec

export const revNatValue: Codec<RevNatValue> = {
  size: RnatVal.size,
  encode(value, buffer, offset = 0) {
    buffer.writeUInt32BE(value.address, offset + RnatVal.vip)
    buffer.writeUInt16BE(value.port, offset + RnatVal.port)
    buffer.writeUInt16LE(value.flags, offset + RnatVal.flags)
  },
  decode(buffer, offset = 0) {
    return {
      address: buffer.readUInt32BE(offset + RnatVal.vip) as Address,
      port: buffer.readUInt16BE(offset + RnatVal.port),
      flags: buffer.readUInt16LE(offset + RnatVal.flags),
    }
  },
}
