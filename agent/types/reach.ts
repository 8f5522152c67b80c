import type { Address } from './address.ts'
import { formatAddress, parseAddress } from './address.ts'

/** What this node's own connections to the backends of a remote cluster have shown. Replaced as a whole. */
export interface Reach {
  readonly cluster: string
  /** Some backend of the cluster answered this node lately: the way there works, whatever its etcd says or does not say. */
  readonly answers: boolean
  /** TCP backends that failed several times in a row, by `reachKey`; all others are not known to be dead. */
  readonly dead: ReadonlySet<number>
}

/** Address and TCP port as one number below 2^48. */
export function reachKey(address: Address, port: number): number {
  return address * 65536 + port
}

export function formatReachKey(key: number): string {
  return `${formatAddress(Math.floor(key / 65536) as Address)}:${key % 65536}`
}

/** Undefined for what `formatReachKey` would not write. */
export function parseReachKey(text: string): number | undefined {
  const [, quad = '', digits = ''] = /^([\d.]+):([1-9]\d{0,4})$/.exec(text) ?? []
  const address = parseAddress(quad)
  const port = Number(digits)
  return address === undefined || port > 65535 ? undefined : reachKey(address, port)
}
