import type { Address, Cidr } from '../address.ts'
import { formatAddress, maskAddress, parseAddress } from '../address.ts'
import type { JsonObject } from './go-json.ts'
import {
  arrayField,
  field,
  goNullableMap,
  goString,
  goStruct,
  isObject,
  parseObject,
  stringField,
  stringMapField,
  uint32Field,
  WireError,
} from './go-json.ts'
import { decodeMask, encodeMask } from './ip.ts'

/** A node as peers exchange it; the many fields of Cilium's record that we neither have nor use are written empty. */
export interface NodeRecord {
  readonly name: string
  readonly cluster: string
  readonly clusterId: number
  readonly addresses: readonly { readonly type: string; readonly address: Address }[]
  readonly podCidrs: readonly Cidr[]
  readonly labels: Readonly<Record<string, string>>
  /** Takes packets for its backends by DSR; our field, in `weft`, which others ignore. */
  readonly takesDsr?: boolean
}

function encodeCidr(cidr: Cidr): string {
  return `{"IP":"${formatAddress(cidr.address)}","Mask":"${encodeMask(cidr.bits)}"}`
}

export function encodeNode(record: NodeRecord): string {
  const [first, ...more] = record.podCidrs
  const addresses = record.addresses.map(
    ({ type, address }) => `{"Type":${goString(type)},"IP":"${formatAddress(address)}"}`,
  )
  return goStruct([
    ['Name', goString(record.name)],
    ['Cluster', goString(record.cluster)],
    ['IPAddresses', addresses.length === 0 ? 'null' : `[${addresses.join(',')}]`],
    ['IPv4AllocCIDR', first === undefined ? 'null' : encodeCidr(first)],
    ['IPv4SecondaryAllocCIDRs', more.length === 0 ? 'null' : `[${more.map(encodeCidr).join(',')}]`],
    ['IPv6AllocCIDR', 'null'],
    ['IPv6SecondaryAllocCIDRs', 'null'],
    ['IPv4HealthIP', '""'],
    ['IPv6HealthIP', '""'],
    ['IPv4IngressIP', '""'],
    ['IPv6IngressIP', '""'],
    ['ClusterID', String(record.clusterId)],
    ['Source', '"custom-resource"'],
    ['EncryptionKey', '0'],
    ['Labels', goNullableMap(record.labels)],
    ['Annotations', 'null'],
    ['NodeIdentity', '0'],
    ['WireguardPubKey', '""'],
    ['BootID', '""'],
    ['weft', record.takesDsr === true ? '{"dsr":true}' : undefined],
  ])
}

/** Throws WireError. IPv6 addresses and prefixes are left out. */
export function decodeNode(text: string): NodeRecord {
  const object = parseObject(text)
  const weft = field(object, 'weft')
  const addresses: { type: string; address: Address }[] = []
  for (const item of arrayField(object, 'IPAddresses')) {
    if (!isObject(item)) throw new WireError('IPAddresses holds something that is not an object')
    const ip = stringField(item, 'IP')
    const address = parseAddress(ip)
    if (address !== undefined) addresses.push({ type: stringField(item, 'Type'), address })
    else if (!ip.includes(':')) throw new WireError(`IPAddresses holds "${ip}", which is not an address`)
  }
  const main = field(object, 'IPv4AllocCIDR')
  const podCidrs = [...(main === undefined ? [] : [main]), ...arrayField(object, 'IPv4SecondaryAllocCIDRs')].map(
    decodeCidr,
  )
  return {
    name: stringField(object, 'Name'),
    cluster: stringField(object, 'Cluster'),
    clusterId: uint32Field(object, 'ClusterID'),
    addresses,
    podCidrs,
    labels: stringMapField(object, 'Labels'),
    ...(isObject(weft) && field(weft, 'dsr') === true ? { takesDsr: true } : {}),
  }
}

function decodeCidr(value: unknown): Cidr {
  if (!isObject(value)) throw new WireError('a pod prefix is not an object')
  return cidrOf(value)
}

function cidrOf(object: JsonObject): Cidr {
  const ip = stringField(object, 'IP')
  const address = parseAddress(ip)
  const bits = decodeMask(stringField(object, 'Mask'))
  if (address === undefined || bits === undefined) throw new WireError(`pod prefix "${ip}" is not an IPv4 prefix`)
  return { address: maskAddress(address, bits), bits }
}
