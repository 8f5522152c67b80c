import type { Address, Cidr } from '../types/address.ts'
import type { Codec } from './codec.ts'
import { u32Codec } from './codec.ts'
import { MAPS, MasqKey } from './layout.gen.ts'

/** Destinations that see pods by their own address: a longest-prefix-match trie. */
export const MASQUERADE_MAP = MAPS.w_masq4_v1

export const masqueradeKey: Codec<Cidr> = {
  size: MasqKey.size,
  encode(prefix, buffer, offset = 0) {
    buffer.writeUInt32LE(prefix.bits, offset + MasqKey.prefixlen)
    buffer.writeUInt32BE(prefix.address, offset + MasqKey.addr)
  },
  decode(buffer, offset = 0) {
    return {
      address: buffer.readUInt32BE(offset + MasqKey.addr) as Address,
      bits: buffer.readUInt32LE(offset + MasqKey.prefixlen),
    }
  },
}

/** Means nothing: being there is all an entry says. */
export const masqueradeValue = u32Codec
