import type { Address } from '../types/address.ts'
import type { IpcacheEntry } from '../types/datapath.ts'
import type { Codec } from './codec.ts'
import { AddrFamily, Identity, IpcFlag, IpcKey, IpcVal, MAPS } from './layout.gen.ts'

/** Prefix → identity and node: a longest-prefix-match trie. */
export const IPCACHE_MAP = MAPS.w_ipc_v1

export const RESERVED_IDENTITIES = Identity

/** Bits before the address that `prefixlen` counts too. */
const STATIC_BITS = (IpcKey.addr - IpcKey.clusterId) * 8

export const ipcacheKey: Codec<IpcacheEntry['prefix']> = {
  size: IpcKey.size,
  encode(prefix, buffer, offset = 0) {
    buffer.fill(0, offset, offset + IpcKey.size)
    buffer.writeUInt32LE(STATIC_BITS + prefix.bits, offset + IpcKey.prefixlen)
    buffer.writeUInt8(AddrFamily.V4, offset + IpcKey.family)
    buffer.writeUInt32BE(prefix.address, offset + IpcKey.addr)
  },
  decode(buffer, offset = 0) {
    return {
      address: buffer.readUInt32BE(offset + IpcKey.addr) as Address,
      bits: buffer.readUInt32LE(offset + IpcKey.prefixlen) - STATIC_BITS,
    }
  },
}

/** An entry without its prefix, which is the key. */
export type IpcacheValue = Omit<IpcacheEntry, 'prefix'>

function flagsOf(value: IpcacheValue): number {
  return (
    (value.tunnel === undefined ? 0 : IpcFlag.HAS_TUN) |
    (value.remoteCluster ? IpcFlag.REMOTE_CLUSTER : 0) |
    (value.isNode ? IpcFlag.IS_NODE : 0) |
    (value.takesDsr ? IpcFlag.DSR_OK : 0)
  )
}

export const ipcacheValue: Codec<IpcacheValue> = {
  size: IpcVal.size,
  encode(value, buffer, offset = 0) {
    buffer.fill(0, offset, offset + IpcVal.size)
    buffer.writeUInt32LE(value.identity, offset + IpcVal.identity)
    buffer.writeUInt32LE(flagsOf(value), offset + IpcVal.flags)
    buffer.writeUInt16LE(value.clusterId, offset + IpcVal.clusterId)
    buffer.writeUInt32BE(value.tunnel ?? 0, offset + IpcVal.tunnel)
  },
  decode(buffer, offset = 0) {
    const flags = buffer.readUInt32LE(offset + IpcVal.flags)
    const tunnel = buffer.readUInt32BE(offset + IpcVal.tunnel) as Address
    return {
      identity: buffer.readUInt32LE(offset + IpcVal.identity),
      tunnel: (flags & IpcFlag.HAS_TUN) === 0 ? undefined : tunnel,
      clusterId: buffer.readUInt16LE(offset + IpcVal.clusterId),
      remoteCluster: (flags & IpcFlag.REMOTE_CLUSTER) !== 0,
      isNode: (flags & IpcFlag.IS_NODE) !== 0,
      takesDsr: (flags & IpcFlag.DSR_OK) !== 0,
    }
  },
}
