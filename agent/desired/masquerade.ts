import type { Cidr } from '../types/address.ts'
import type { MasqueradeEntry } from '../types/datapath.ts'
import { formatCidr, parseCidr } from '../types/address.ts'

/** Destinations that pods go to with their own addresses. */
export interface MasqueradeList {
  /** Empty: the ranges that are not the world's. */
  readonly nonMasqueradeCIDRs: readonly Cidr[]
  /** Whether link-local destinations see the node. */
  readonly masqLinkLocal: boolean
}

const cidr = (text: string): Cidr => parseCidr(text)!

/** Private and special-purpose ranges, where nothing else is said. */
const BUILT_IN: readonly Cidr[] = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '240.0.0.0/4',
].map(cidr)

const LINK_LOCAL = cidr('169.254.0.0/16')

/** The entries of the map, by printed prefix. */
export function desiredMasquerade(list: MasqueradeList): Map<string, MasqueradeEntry> {
  const ranges = list.nonMasqueradeCIDRs.length === 0 ? BUILT_IN : list.nonMasqueradeCIDRs
  const all = list.masqLinkLocal ? ranges : [...ranges, LINK_LOCAL]
  return new Map(all.map((prefix) => [formatCidr(prefix), { prefix }]))
}
