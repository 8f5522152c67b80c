import { isIP } from 'node:net'
import type { Address } from '../address.ts'
import { formatAddress, parseAddress } from '../address.ts'
import type { Condition, Endpoint, EndpointPort } from '../backend.ts'
import type { Protocol } from '../service.ts'
import { parseProtocol, PROTOCOL_NAMES } from '../service.ts'
import type { JsonObject } from './go-json.ts'
import {
  boolField,
  field,
  goMap,
  goString,
  goStruct,
  isObject,
  objectField,
  parseObject,
  stringField,
  stringMapField,
  uint32Field,
  WireError,
} from './go-json.ts'

/**
 * A service as peers exchange it (Cilium's ClusterService), with what we add for each other in the field `weft`, which
 * Cilium ignores (node names are not on the wire): `{"backends": {"<ip>": {"condition": "serving", "zone": "a", "weight": 10}}}`; a backend that is ready,
 * of weight 100 and without zone is not listed there.
 */
export interface ServiceRecord {
  readonly cluster: string
  readonly clusterId: number
  readonly namespace: string
  readonly name: string
  /** Cluster IPs; importers do not use them. */
  readonly frontends: readonly WireAddress[]
  readonly backends: readonly Endpoint[]
  readonly labels: Readonly<Record<string, string>>
  readonly selector: Readonly<Record<string, string>>
  readonly shared: boolean
}

export interface WireAddress {
  readonly address: Address
  readonly ports: readonly EndpointPort[]
}

export const DEFAULT_WEIGHT = 100

export function encodeService(record: ServiceRecord): string {
  return goStruct([
    ['cluster', goString(record.cluster)],
    ['namespace', goString(record.namespace)],
    ['name', goString(record.name)],
    ['frontends', encodeAddresses(record.frontends)],
    ['backends', encodeAddresses(record.backends)],
    ['hostnames', '{}'],
    ['labels', goMap(Object.entries(record.labels), goString)],
    ['selector', goMap(Object.entries(record.selector), goString)],
    ['includeExternal', 'true'],
    ['shared', String(record.shared)],
    ['clusterID', String(record.clusterId)],
    ['weft', encodeExtras(record.backends)],
  ])
}

function encodeAddresses(addresses: readonly WireAddress[]): string {
  return goMap(
    addresses.map(({ address, ports }) => [formatAddress(address), ports] as const),
    (ports) =>
      goMap(
        ports.map((port) => [port.name, port] as const),
        ({ protocol, port }) => `{"Protocol":"${PROTOCOL_NAMES[protocol]}","Port":${port}}`,
      ),
  )
}

function encodeExtras(backends: ServiceRecord['backends']): string | undefined {
  const entries: [string, string][] = []
  for (const { address, condition, zone, weight } of backends) {
    const extras = goStruct([
      ['condition', condition === 'ready' ? undefined : goString(condition)],
      ['zone', zone === undefined ? undefined : goString(zone)],
      ['weight', weight === DEFAULT_WEIGHT ? undefined : String(weight)],
    ])
    if (extras !== '{}') entries.push([formatAddress(address), extras])
  }
  return entries.length === 0 ? undefined : `{"backends":${goMap(entries, (extras) => extras)}}`
}

/**
 * Throws WireError when the record as a whole is of no use (a key that is no address, a port out of range). IPv6 addresses
 * are left out; an unknown condition counts as ready, as every backend of a peer without the field `weft` does.
 */
export function decodeService(text: string): ServiceRecord {
  const object = parseObject(text)
  const extras = weftBackends(object)
  const zones = objectField(object, 'zones')
  const portLists = new Map<string, readonly EndpointPort[]>()
  return {
    cluster: stringField(object, 'cluster'),
    clusterId: uint32Field(object, 'clusterID'),
    namespace: stringField(object, 'namespace'),
    name: stringField(object, 'name'),
    frontends: decodeAddresses(object, 'frontends', portLists),
    backends: decodeAddresses(object, 'backends', portLists, (ip, { address, ports }) => {
      const extra = extras[ip]
      const known = isObject(extra) ? extra : NOTHING
      return {
        address,
        ports,
        condition: conditionOf(known),
        nodeName: undefined,
        zone: zoneOf(known) ?? zoneOf(zones[ip]),
        weight: weightOf(known),
      }
    }),
    labels: stringMapField(object, 'labels'),
    selector: stringMapField(object, 'selector'),
    shared: boolField(object, 'shared'),
  }
}

const NOTHING: JsonObject = {}

function weftBackends(object: JsonObject): JsonObject {
  const weft = field(object, 'weft')
  const backends = isObject(weft) ? field(weft, 'backends') : undefined
  return isObject(backends) ? backends : NOTHING
}

function conditionOf(extra: JsonObject): Condition {
  const condition = field(extra, 'condition')
  return condition === 'serving' || condition === 'not-ready' ? condition : 'ready'
}

function zoneOf(extra: unknown): string | undefined {
  const zone = isObject(extra) ? field(extra, 'zone') : undefined
  return typeof zone === 'string' && zone !== '' ? zone : undefined
}

function weightOf(extra: JsonObject): number {
  const weight = field(extra, 'weight')
  return typeof weight === 'number' && Number.isInteger(weight) && weight >= 1 && weight <= 65535
    ? weight
    : DEFAULT_WEIGHT
}

function decodeAddresses(object: JsonObject, name: string, portLists: PortLists): WireAddress[]
function decodeAddresses<T>(
  object: JsonObject,
  name: string,
  portLists: PortLists,
  convert: (ip: string, address: WireAddress) => T,
): T[]
function decodeAddresses<T>(
  object: JsonObject,
  name: string,
  portLists: PortLists,
  convert?: (ip: string, address: WireAddress) => T,
): (T | WireAddress)[] {
  const result: (T | WireAddress)[] = []
  const map = objectField(object, name)
  for (const ip in map) {
    const address = parseAddress(ip)
    if (address === undefined) {
      if (isIP(ip) === 6) continue
      throw new WireError(`${name} holds "${ip}", which is not an address`)
    }
    const entry = { address, ports: decodePorts(map[ip], `${name}["${ip}"]`, portLists) }
    result.push(convert === undefined ? entry : convert(ip, entry))
  }
  return result
}

/** Backends with equal ports share one array, found by its contents. */
type PortLists = Map<string, readonly EndpointPort[]>

/** An empty map is legal: Cilium 1.18.0 writes it for unnamed ports. Unknown protocols are left out. */
function decodePorts(value: unknown, where: string, portLists: PortLists): readonly EndpointPort[] {
  if (value === null) return []
  if (!isObject(value)) throw new WireError(`${where} is not an object`)
  const ports: EndpointPort[] = []
  let signature = ''
  for (const name in value) {
    const item = value[name]
    if (!isObject(item)) throw new WireError(`${where}: port "${name}" is not an object`)
    const port = uint32Field(item, 'Port')
    if (port === 0 || port > 65535) throw new WireError(`${where}: port "${name}" has number ${port}`)
    for (const protocol of protocolsOf(stringField(item, 'Protocol'))) {
      ports.push({ name, protocol, port })
      signature += `${name}\0${protocol}\0${port}\0`
    }
  }
  const known = portLists.get(signature)
  if (known !== undefined) return known
  portLists.set(signature, ports)
  return ports
}

const ANY_PROTOCOL: readonly Protocol[] = [6, 17]

/** `ANY` and its old name `NONE` stand for TCP and UDP. */
function protocolsOf(text: string): readonly Protocol[] {
  const upper = text.toUpperCase()
  if (upper === 'ANY' || upper === 'NONE') return ANY_PROTOCOL
  const protocol = parseProtocol(upper)
  return protocol === undefined ? [] : [protocol]
}
