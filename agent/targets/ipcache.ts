import type { IpcacheEntry } from '../types/datapath.ts'
import type { EntryFormat, EntryMap } from './map-target.ts'
import type { IpcacheValue } from '../maps/ipcache.ts'
import { ipcacheKey, ipcacheValue } from '../maps/ipcache.ts'
import { formatCidr, parseCidr } from '../types/address.ts'
import { MapTarget } from './map-target.ts'

const FORMAT: EntryFormat<IpcacheEntry['prefix'], IpcacheValue, IpcacheEntry> = {
  name: 'ipcache',
  key: ipcacheKey,
  value: ipcacheValue,
  print: formatCidr,
  parse: parseCidr,
  keyOf: (entry) => entry.prefix,
  entryOf: (prefix, value) => ({ prefix, ...value }),
  equals: (a, b) =>
    a.identity === b.identity &&
    a.tunnel === b.tunnel &&
    a.clusterId === b.clusterId &&
    a.remoteCluster === b.remoteCluster &&
    a.isNode === b.isNode &&
    a.takesDsr === b.takesDsr,
}

/** Prefix → identity and node, in `w_ipc_v1`. Keys are printed prefixes, `10.0.1.7/32`. */
export class IpcacheTarget extends MapTarget<IpcacheEntry['prefix'], IpcacheValue, IpcacheEntry> {
  constructor(map: EntryMap) {
    super(map, FORMAT)
  }
}
