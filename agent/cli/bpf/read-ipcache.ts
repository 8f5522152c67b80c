import type { IpcacheValue } from '../../maps/ipcache.ts'
import { IPCACHE_MAP, ipcacheKey, ipcacheValue } from '../../maps/ipcache.ts'
import type { Cidr } from '../../types/address.ts'
import { formatAddress, formatCidr } from '../../types/address.ts'
import type { IpcacheRow } from './format.ts'
import type { OpenMap } from './pins.ts'

/** All prefixes, by address, longer ones first. */
export function readIpcache(open: OpenMap): IpcacheRow[] {
  const { keys, values, count } = open(IPCACHE_MAP.name).dump()
  const all = Array.from(
    { length: count },
    (_, i) =>
      [ipcacheKey.decode(keys, i * ipcacheKey.size), ipcacheValue.decode(values, i * ipcacheValue.size)] as const,
  )
  all.sort(([a], [b]) => a.address - b.address || b.bits - a.bits)
  return all.map(([prefix, value]) => ipcacheRow(prefix, value))
}

export function ipcacheRow(prefix: Cidr, value: IpcacheValue): IpcacheRow {
  return {
    prefix: formatCidr(prefix),
    identity: value.identity,
    clusterId: value.clusterId,
    tunnelEndpoint: value.tunnel === undefined ? '0.0.0.0' : formatAddress(value.tunnel),
    flags: [
      ...(value.tunnel === undefined ? [] : ['hastunnel']),
      ...(value.remoteCluster ? ['remotecluster'] : []),
      ...(value.isNode ? ['node'] : []),
      ...(value.takesDsr ? ['dsr'] : []),
    ],
  }
}
