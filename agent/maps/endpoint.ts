import type { Address } from '../types/address.ts'
import type { EndpointEntry } from '../types/datapath.ts'
import type { Codec } from './codec.ts'
import { AddrFamily, EpFlag, EpKey, EpVal, MAPS } from './layout.gen.ts'

/** Addresses that live on this node, its own included. */
export const ENDPOINT_MAP = MAPS.w_ep_v1

export const endpointKey: Codec<Address> = {
  size: EpKey.size,
  encode(address, buffer, offset = 0) {
    buffer.fill(0, offset, offset + EpKey.size)
    buffer.writeUInt32BE(address, offset + EpKey.addr)
    buffer.writeUInt8(AddrFamily.V4, offset + EpKey.family)
  },
  decode(buffer, offset = 0) {
    return buffer.readUInt32BE(offset + EpKey.addr) as Address
  },
}

/** An entry without its address, which is the key. */
export type EndpointValue = Omit<EndpointEntry, 'address'>

export const endpointValue: Codec<EndpointValue> = {
  size: EpVal.size,
  encode(value, buffer, offset = 0) {
    buffer.fill(0, offset, offset + EpVal.size)
    buffer.writeUInt32LE(value.identity, offset + EpVal.identity)
    buffer.writeUInt16LE(value.isHost ? EpFlag.HOST : 0, offset + EpVal.flags)
  },
  decode(buffer, offset = 0) {
    return {
      identity: buffer.readUInt32LE(offset + EpVal.identity),
      isHost: (buffer.readUInt16LE(offset + EpVal.flags) & EpFlag.HOST) !== 0,
    }
  },
}
