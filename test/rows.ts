import type { Address } from '../agent/types/address.ts'
import type { Pod } from '../agent/types/node.ts'
import type { Service } from '../agent/types/service.ts'
import { parseAddress } from '../agent/types/address.ts'

/** Rows as sources make them of objects that say no more than they must. */

export function ip(text: string): Address {
  const address = parseAddress(text)
  if (address === undefined) throw new Error(`not an address: ${text}`)
  return address
}

export function serviceRow(fields: Pick<Service, 'name' | 'clusterIPs' | 'ports'> & Partial<Service>): Service {
  return {
    type: 'ClusterIP',
    externalIPs: [],
    loadBalancerIPs: [],
    selector: {},
    labels: {},
    mesh: { global: false, shared: false, affinity: 'none' },
    externalTrafficPolicy: 'Cluster',
    internalTrafficPolicy: 'Cluster',
    sessionAffinitySeconds: 0,
    sourceRanges: [],
    sourceRangePolicy: 'allow',
    healthCheckNodePort: undefined,
    algorithm: undefined,
    forwarding: undefined,
    problems: [],
    origin: 'test',
    ...fields,
  }
}

export function podRow(fields: Pick<Pod, 'name' | 'address' | 'nodeName'> & Partial<Pod>): Pod {
  return {
    key: `default/${fields.name}`,
    namespace: 'default',
    hostNetwork: false,
    labels: {},
    serviceAccount: 'default',
    ready: true,
    terminating: false,
    namedPorts: [],
    hostPorts: [],
    origin: 'pods.yaml:1',
    ...fields,
  }
}
