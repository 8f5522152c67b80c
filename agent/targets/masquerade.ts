import type { Cidr } from '../types/address.ts'
import type { MasqueradeEntry } from '../types/datapath.ts'
import type { EntryFormat, EntryMap } from './map-target.ts'
import { masqueradeKey, masqueradeValue } from '../maps/masquerade.ts'
import { formatCidr, parseCidr } from '../types/address.ts'
import { MapTarget } from './map-target.ts'

const FORMAT: EntryFormat<Cidr, object, MasqueradeEntry> = {
  name: 'masquerade',
  key: masqueradeKey,
  value: {
    size: masqueradeValue.size,
    encode: (_, buffer, offset) => masqueradeValue.encode(0, buffer, offset),
    decode: () => ({}),
  },
  print: formatCidr,
  parse: parseCidr,
  keyOf: (entry) => entry.prefix,
  entryOf: (prefix) => ({ prefix }),
  equals: () => true,
}

/** Destinations that see pods by their own addresses, in `w_masq4_v1`. Keys are printed prefixes. */
export class MasqueradeTarget extends MapTarget<Cidr, object, MasqueradeEntry> {
  constructor(map: EntryMap) {
    super(map, FORMAT)
  }
}
