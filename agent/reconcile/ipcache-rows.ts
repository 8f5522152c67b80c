import type { Address } from '../types/address.ts'
import type { IpcacheEntry } from '../types/datapath.ts'
import type { RowFormat } from './prefix-delta.ts'

const HAS_TUNNEL = 1 << 16
const REMOTE = 1 << 17
const NODE = 1 << 18
const DSR = 1 << 19

/** Entries as rows of a PrefixDelta. */
export const IPCACHE_ROWS: RowFormat<IpcacheEntry> = {
  words: 3,
  prefixOf: (entry) => entry.prefix,
  pack(entry, words, at) {
    words[at] = entry.identity
    words[at + 1] = entry.tunnel ?? 0
    words[at + 2] =
      entry.clusterId |
      (entry.tunnel === undefined ? 0 : HAS_TUNNEL) |
      (entry.remoteCluster ? REMOTE : 0) |
      (entry.isNode ? NODE : 0) |
      (entry.takesDsr ? DSR : 0)
  },
  unpack(prefix, words, at) {
    const rest = words[at + 2]!
    return {
      prefix,
      identity: words[at]!,
      tunnel: (rest & HAS_TUNNEL) === 0 ? undefined : (words[at + 1]! as Address),
      clusterId: rest & 0xffff,
      remoteCluster: (rest & REMOTE) !== 0,
      isNode: (rest & NODE) !== 0,
      takesDsr: (rest & DSR) !== 0,
    }
  },
}
