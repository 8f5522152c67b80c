import type { Peer } from '../../agent/sources/mesh/importers.ts'
import type { Condition, Endpoint, EndpointPort } from '../../agent/types/backend.ts'
import type { RemoteSpec } from './format.ts'
import { parseAddress } from '../../agent/types/address.ts'
import { parseProtocol } from '../../agent/types/service.ts'
import { DEFAULT_WEIGHT, encodeService } from '../../agent/types/wire/service.ts'

type ServiceSpec = NonNullable<RemoteSpec['services'][string]>

/** `ports: {http: 8080, dns: 53/UDP}`, `backends: [10.1.0.190, 10.1.1.41 serving]` as the record another cluster exports. */
export function encodeRemoteService(peer: Peer, tail: string, spec: ServiceSpec): string {
  const [namespace = '', name = ''] = tail.split('/')
  const ports = Object.entries(spec.ports).map(([port, value]): EndpointPort => {
    const [number, protocol = 'TCP'] = String(value).split('/')
    return { name: port, protocol: parseProtocol(protocol)!, port: Number(number) }
  })
  return encodeService({
    ...{ cluster: peer.name, clusterId: peer.id, namespace, name },
    ...{ frontends: [], labels: {}, selector: {}, shared: spec.shared },
    backends: spec.backends.map((text) => endpoint(text, ports)),
  })
}

function endpoint(text: string, ports: readonly EndpointPort[]): Endpoint {
  const [address = '', condition = 'ready'] = text.split(' ')
  const parsed = parseAddress(address)
  if (parsed === undefined) throw new Error(`${address} is not an address`)
  return {
    ...{ address: parsed, ports, condition: condition as Condition },
    ...{ nodeName: undefined, zone: undefined, weight: DEFAULT_WEIGHT },
  }
}
