import type { Address, Cidr } from '../address.ts'
import { formatAddress, formatCidr, parseAddress } from '../address.ts'
import { field, goString, goStruct, parseObject, stringField, uint32Field, WireError } from './go-json.ts'

/** One address (or prefix) and its identity, as peers exchange it (Cilium's IPIdentityPair). */
export interface IpRecord {
  readonly prefix: Cidr
  readonly hostAddress: Address | undefined
  readonly identity: number
  readonly namespace: string
  readonly podName: string
}

/** Base64 of the mask bytes: `////AA==` for /24. */
export function encodeMask(bits: number): string {
  const mask = Buffer.alloc(4)
  if (bits > 0) mask.writeUInt32BE((0xffffffff << (32 - bits)) >>> 0)
  return mask.toString('base64')
}

/** Prefix length of a base64 IPv4 mask; undefined for an IPv6 mask or one with holes. */
export function decodeMask(text: string): number | undefined {
  const mask = Buffer.from(text, 'base64')
  if (mask.length !== 4) return undefined
  const bits = Math.clz32(~mask.readUInt32BE() >>> 0)
  return mask.toString('base64') === encodeMask(bits) ? bits : undefined
}

/** A host is printed without its length, in keys and in records. */
export function formatPrefix(prefix: Cidr): string {
  return prefix.bits === 32 ? formatAddress(prefix.address) : formatCidr(prefix)
}

export function encodeIp(record: IpRecord): string {
  return goStruct([
    ['IP', `"${formatAddress(record.prefix.address)}"`],
    ['Mask', record.prefix.bits === 32 ? 'null' : `"${encodeMask(record.prefix.bits)}"`],
    ['HostIP', record.hostAddress === undefined ? '""' : `"${formatAddress(record.hostAddress)}"`],
    ['ID', String(record.identity)],
    ['Key', '0'],
    ['Metadata', '""'],
    ['K8sNamespace', record.namespace === '' ? undefined : goString(record.namespace)],
    ['K8sPodName', record.podName === '' ? undefined : goString(record.podName)],
  ])
}

/** Undefined for an IPv6 record, which is valid but not ours to use. Throws WireError. */
export function decodeIp(text: string): IpRecord | undefined {
  const object = parseObject(text)
  const ip = stringField(object, 'IP')
  if (ip.includes(':')) return undefined
  const address = parseAddress(ip)
  if (address === undefined) throw new WireError(`IP "${ip}" is not an address`)
  const mask = field(object, 'Mask')
  const bits = mask === undefined ? 32 : typeof mask === 'string' ? decodeMask(mask) : undefined
  if (bits === undefined) throw new WireError('field Mask is not a base64 IPv4 mask')
  const host = stringField(object, 'HostIP')
  return {
    prefix: { address, bits },
    hostAddress: host === '' ? undefined : parseAddress(host),
    identity: uint32Field(object, 'ID'),
    namespace: stringField(object, 'K8sNamespace'),
    podName: stringField(object, 'K8sPodName'),
  }
}
