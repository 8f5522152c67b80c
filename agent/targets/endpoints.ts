import type { Address } from '../types/address.ts'
import type { EndpointEntry } from '../types/datapath.ts'
import type { EntryFormat, EntryMap } from './map-target.ts'
import type { EndpointValue } from '../maps/endpoint.ts'
import { endpointKey, endpointValue } from '../maps/endpoint.ts'
import { formatAddress, parseAddress } from '../types/address.ts'
import { MapTarget } from './map-target.ts'

const FORMAT: EntryFormat<Address, EndpointValue, EndpointEntry> = {
  name: 'endpoints',
  key: endpointKey,
  value: endpointValue,
  print: formatAddress,
  parse: parseAddress,
  keyOf: (entry) => entry.address,
  entryOf: (address, value) => ({ address, ...value }),
  equals: (a, b) => a.identity === b.identity && a.isHost === b.isHost,
}

/** Addresses of this node and its pods, in `w_ep_v1`. Keys are printed addresses. */
export class EndpointTarget extends MapTarget<Address, EndpointValue, EndpointEntry> {
  constructor(map: EntryMap) {
    super(map, FORMAT)
  }
}
