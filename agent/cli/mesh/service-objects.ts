import { APISERVER, NAMESPACE } from './access.ts'

/** The objects that let other clusters reach the etcd of this one: plain values, for an API server or a directory of manifests. */

export const SERVICE_TYPES = ['NodePort', 'LoadBalancer', 'ClusterIP'] as const
export type ServiceType = (typeof SERVICE_TYPES)[number]

const PORT = { name: 'apiserv', protocol: 'TCP', port: 2379 } as const

const SERVICE = { apiVersion: 'v1', kind: 'Service', metadata: { name: APISERVER, namespace: NAMESPACE } } as const
const SLICE = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${APISERVER}-etcd`, namespace: NAMESPACE },
} as const

export interface EtcdAddress {
  readonly address: string
  readonly port: number
}

/** No selector: the etcd is a process, in no pod that a Service could find. */
export function serviceObjects(type: ServiceType, nodePort: number, etcd: readonly EtcdAddress[]): readonly object[] {
  const labels = { 'k8s-app': APISERVER }
  // A balancer's node port is whatever is free: nobody has to know it.
  const port = type === 'NodePort' ? { ...PORT, nodePort } : PORT
  const { name, protocol } = PORT
  return [
    { ...SERVICE, metadata: { ...SERVICE.metadata, labels }, spec: { type, ports: [port] } },
    {
      ...SLICE,
      metadata: {
        ...SLICE.metadata,
        labels: {
          ...labels,
          'kubernetes.io/service-name': APISERVER,
          'endpointslice.kubernetes.io/managed-by': 'weft',
        },
      },
      addressType: 'IPv4',
      endpoints: etcd.map(({ address }) => ({ addresses: [address], conditions: { ready: true } })),
      ports: [{ name, protocol, port: etcd[0]?.port ?? PORT.port }],
    },
  ]
}

/** What names them, for deleting. */
export const SERVICE_NAMES: readonly object[] = [SERVICE, SLICE]
