import type { Address, Cidr } from '../types/address.ts'
import type { Codec } from './codec.ts'
import { u32Codec } from './codec.ts'
import { MAPS, SrcrKey } from './layout.gen.ts'

/** Clients of services that check them: a longest-prefix-match trie, of each service one of its own. */
export const SOURCE_RANGE_MAP = MAPS.w_srcr4_v1

/** Bits before the address that `prefixlen` counts too. */
const STATIC_BITS = (SrcrKey.addr - SrcrKey.svcId) * 8

export interface SourceRangeKey {
  readonly serviceId: number
  readonly range: Cidr
}

export const sourceRangeKey: Codec<SourceRangeKey> = {
  size: SrcrKey.size,
  encode({ serviceId, range }, buffer, offset = 0) {
    buffer.writeUInt32LE(STATIC_BITS + range.bits, offset + SrcrKey.prefixlen)
    buffer.writeUInt32LE(serviceId, offset + SrcrKey.svcId)
    buffer.writeUInt32BE(range.address, offset + SrcrKey.addr)
  },
  decode(buffer, offset = 0) {
    return {
      serviceId: buffer.readUInt32LE(offset + SrcrKey.svcId),
      range: {
        address: buffer.readUInt32BE(offset + SrcrKey.addr) as Address,
        bits: buffer.readUInt32LE(offset + SrcrKey.prefixlen) - STATIC_BITS,
      },
    }
  },
}

/** Means nothing: being there is all an entry says. */
export const sourceRangeValue = u32Codec
