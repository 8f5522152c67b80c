import type { Address } from '../../types/address.ts'
import type { Frontend, FrontendType, Scope } from '../../types/frontend.ts'
import type { Forwarding, Protocol } from '../../types/service.ts'
import { parseAddress } from '../../types/address.ts'
import { frontendId } from '../../types/frontend.ts'
import { SERVICE_FLAGS } from '../../types/service-flags.ts'
import { parseProtocol } from '../../types/service.ts'
import { serviceKey, serviceValue, SVC_ALGORITHMS, SVC_FORWARD, SVC_SCOPES } from '../../maps/service.ts'

export const KEY_BYTES = serviceKey.size
export const VALUE_BYTES = serviceValue.size

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
  readonly forwarding: Forwarding
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
  const protocol = protocolName === 'ANY' ? 0 : parseProtocol(protocolName)
  if (address === undefined || protocol === undefined || Number(port) > 65535) return undefined
  return { address, port: Number(port), protocol, scope: inside === undefined ? 'ext' : 'int' }
}

export function encodeKey(buffer: Buffer, offset: number, name: FrontendName): void {
  const { address, port, protocol } = name
  serviceKey.encode(
    { address, port, protocol, scope: name.scope === 'int' ? SVC_SCOPES.INT : SVC_SCOPES.EXT },
    buffer,
    offset,
  )
}

export function decodeKey(buffer: Buffer, offset: number): FrontendName {
  const { address, port, protocol, scope } = serviceKey.decode(buffer, offset)
  return { address, port, protocol, scope: scope === SVC_SCOPES.INT ? 'int' : 'ext' }
}

export function encodeValue(buffer: Buffer, offset: number, element: Element): void {
  const value = {
    serviceId: element.serviceId,
    flags: element.flags,
    affinitySeconds: element.affinitySeconds,
    algorithm: element.maglev ? SVC_ALGORITHMS.MAGLEV : SVC_ALGORITHMS.RANDOM,
    forward: element.forwarding === 'dsr' ? SVC_FORWARD.DSR : SVC_FORWARD.SNAT,
    count: element.count,
    quarantined: element.total - element.count,
    slotOffset: element.slotOffset,
    maglevOffset: element.tableOffset,
    maglevSize: element.tableSize,
  }
  serviceValue.encode(value, buffer, offset)
}

export function decodeValue(buffer: Buffer, offset: number): Element {
  const value = serviceValue.decode(buffer, offset)
  return {
    serviceId: value.serviceId,
    flags: value.flags,
    affinitySeconds: value.affinitySeconds,
    maglev: value.algorithm === SVC_ALGORITHMS.MAGLEV,
    forwarding: value.forward === SVC_FORWARD.DSR ? 'dsr' : 'snat',
    count: value.count,
    total: value.count + value.quarantined,
    slotOffset: value.slotOffset,
    tableOffset: value.maglevOffset,
    tableSize: value.maglevSize,
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
  if ((flags & SERVICE_FLAGS.HOSTPORT) !== 0) return 'HostPort'
  if ((flags & SERVICE_FLAGS.NODEPORT) !== 0) return 'NodePort'
  if ((flags & SERVICE_FLAGS.LB) !== 0) return 'LoadBalancer'
  if ((flags & SERVICE_FLAGS.EXT_IP) !== 0) return 'ExternalIP'
  return 'ClusterIP'
}
