import type { Address } from '../../types/address.ts'
import type { Frontend, FrontendType, Scope } from '../../types/frontend.ts'
import type { Protocol } from '../../types/service.ts'
import { parseAddress } from '../../types/address.ts'
import { frontendId } from '../../types/frontend.ts'
import { SERVICE_FLAGS } from '../../types/service-flags.ts'
import { parseProtocol } from '../../types/service.ts'
import { swap16, swap32 } from './views.ts'

/** `struct svc_key` and `struct svc_val` in 32-bit words. The offsets are compared with the built object by a test. */
export const KEY_WORDS = 3
export const VALUE_WORDS = 9

const ALGORITHM = { random: 1, maglev: 2 } as const
const FORWARD_SNAT = 1

/** What a frontend's element is found by. */
export interface FrontendName {
  readonly address: Address
  readonly port: number
  /** 0 for Wildcard elements, which answer for a whole address. */
  readonly protocol: number
  readonly scope: Scope
}

/** The element of a frontend, decoded. */
export interface Element {
  readonly serviceId: number
  readonly flags: number
  readonly affinitySeconds: number
  readonly maglev: boolean
  readonly count: number
  readonly total: number
  readonly slotOffset: number
  readonly tableOffset: number
  readonly tableSize: number
}

export function nameOf(frontend: Frontend): FrontendName {
  return frontend.type === 'Wildcard' ? { ...frontend, port: 0, protocol: 0 } : frontend
}

/** `10.2.47.149:80/TCP` or `…/TCP/i` taken apart; undefined for anything else. */
export function parseFrontendId(id: string): FrontendName | undefined {
  const [, dotted = '', port = '', protocolName = '', inside] = /^([\d.]+):(\d{1,5})\/([A-Z]+)(\/i)?$/.exec(id) ?? []
  const address = parseAddress(dotted)
  const protocol = parseProtocol(protocolName)
  if (address === undefined || protocol === undefined || Number(port) > 65535) return undefined
  return { address, port: Number(port), protocol, scope: inside === undefined ? 'ext' : 'int' }
}

export function encodeKey(words: Uint32Array, at: number, name: FrontendName): void {
  words[at] = swap32(name.address)
  words[at + 1] = (swap16(name.port) | (name.protocol << 16) | ((name.scope === 'int' ? 1 : 0) << 24)) >>> 0
  words[at + 2] = 0
}

export function decodeKey(words: Uint32Array, at: number): FrontendName {
  const second = words[at + 1]!
  return {
    address: swap32(words[at]!) as Address,
    port: swap16(second & 0xffff),
    protocol: (second >>> 16) & 0xff,
    scope: second >>> 24 === 1 ? 'int' : 'ext',
  }
}

export function encodeValue(words: Uint32Array, at: number, element: Element): void {
  words[at] = element.serviceId
  words[at + 1] = element.flags
  words[at + 2] = element.affinitySeconds
  words[at + 3] = (element.maglev ? ALGORITHM.maglev : ALGORITHM.random) | (FORWARD_SNAT << 8)
  words[at + 4] = element.count
  words[at + 5] = element.total - element.count
  words[at + 6] = element.slotOffset
  words[at + 7] = element.tableOffset
  words[at + 8] = element.tableSize
}

export function decodeValue(words: Uint32Array, at: number): Element {
  return {
    serviceId: words[at]!,
    flags: words[at + 1]!,
    affinitySeconds: words[at + 2]!,
    maglev: (words[at + 3]! & 0xff) === ALGORITHM.maglev,
    count: words[at + 4]!,
    total: words[at + 4]! + words[at + 5]!,
    slotOffset: words[at + 6]!,
    tableOffset: words[at + 7]!,
    tableSize: words[at + 8]!,
  }
}

/** The id of a frontend read back. */
export function idOf(name: FrontendName): string {
  return frontendId(name.address, name.port, protocolOf(name), name.scope)
}

/** Wildcard elements have protocol 0 in the map. */
export function protocolOf(name: FrontendName): Protocol {
  return name.protocol === 17 || name.protocol === 132 ? name.protocol : 6
}

/** The kind of a frontend read back, as far as its flags tell. */
export function typeOf(flags: number): FrontendType {
  if ((flags & SERVICE_FLAGS.WILDCARD_DROP) !== 0) return 'Wildcard'
  if ((flags & SERVICE_FLAGS.NODEPORT) !== 0) return 'NodePort'
  if ((flags & SERVICE_FLAGS.LB) !== 0) return 'LoadBalancer'
  if ((flags & SERVICE_FLAGS.EXT_IP) !== 0) return 'ExternalIP'
  return 'ClusterIP'
}
