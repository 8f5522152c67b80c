import type { ClusterSpec } from '../lab/topology.ts'

/**
 * What the writers change, as plain values, and the Kubernetes objects that say it. A key is what an exporter makes of one
 * Service with its EndpointSlice, or of one Pod.
 *
 * Services are UDP: their backends are addresses only, and agents ask TCP backends of other clusters whether they are there.
 */

export const WRITERS = 50
export const SERVICES = 80
export const PODS = 20
export const KEYS = WRITERS * (SERVICES + PODS)

export const NAMESPACE = 'storm'
export const SERVICE_PORT = 53
export const BACKEND_PORT = 5353

export type Condition = 'ready' | 'not-ready' | 'serving'
export type Affinity = 'none' | 'local' | 'remote'

export interface ServiceState {
  readonly exists: boolean
  readonly affinity: Affinity
  readonly shared: boolean
  /** By place in the service's own four addresses. */
  readonly endpoints: readonly (readonly [place: number, condition: Condition])[]
}

/** Which of its eight addresses the pod has; undefined when there is no such pod. */
export type PodState = number | undefined

export interface WriterState {
  readonly cluster: ClusterSpec
  /** Writers of one group, one in each cluster, have services of the same names. */
  readonly group: number
  readonly services: ServiceState[]
  readonly pods: PodState[]
}

export const serviceName = (group: number, service: number): string => `g${group}-s${service}`
export const podName = (group: number, pod: number): string => `g${group}-p${pod}`
export const podLabels = (group: number): Record<string, string> => ({ app: `g${group}` })

/** `first.second.(third + n/256).(n%256)`. */
function address(cidr: string, third: number, n: number): string {
  const [a = '', b = ''] = cidr.split('.')
  return `${a}.${b}.${third + (n >> 8)}.${n & 255}`
}

export const serviceAddress = (cluster: ClusterSpec, group: number, service: number): string =>
  address(cluster.serviceCidr, 100, group * SERVICES + service)

export const backendAddress = (cluster: ClusterSpec, group: number, service: number, place: number): string =>
  address(cluster.podCidr, 128, (group * SERVICES + service) * 4 + place)

/** Third byte of the first and of the last address a storm's pod can have. */
export const POD_BYTES = [64, 127] as const

export const podAddress = (cluster: ClusterSpec, group: number, pod: number, place: number): string =>
  address(cluster.podCidr, POD_BYTES[0], (group * PODS + pod) * 8 + place)

/** The node that the writers' pods are said to be on: there is no such machine, for agents would look for its pods' devices. */
export const podHost = (cluster: ClusterSpec): { readonly name: string; readonly ip: string } => ({
  name: `${cluster.name}-elsewhere`,
  ip: `172.18.0.${200 + cluster.id}`,
})

export function podHostManifest(cluster: ClusterSpec): string {
  const { name, ip } = podHost(cluster)
  const podCIDR = `${address(cluster.podCidr, POD_BYTES[0], 0)}/18`
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    spec: { podCIDR, podCIDRs: [podCIDR] },
    status: { addresses: [{ type: 'InternalIP', address: ip }] },
  })
}

/**
 * A writer's manifest, a line for each object. What does not exist keeps its place, so that all else stands where it did:
 * readers take up again only what has changed.
 */
export function manifestOf(state: WriterState): string {
  const { cluster, group } = state
  const services = state.services.flatMap((service, i) =>
    service.exists
      ? [serviceObject(cluster, group, i, service), sliceObject(cluster, group, i, service)]
      : [GONE, GONE],
  )
  const pods = state.pods.map((place, i) => (place === undefined ? GONE : podObject(cluster, group, i, place)))
  return [...services, ...pods].map((line) => `---\n${line}\n`).join('')
}

const GONE = '# gone'

function serviceObject(cluster: ClusterSpec, group: number, i: number, state: ServiceState): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: serviceName(group, i),
      namespace: NAMESPACE,
      annotations: {
        'service.cilium.io/global': 'true',
        'service.cilium.io/shared': String(state.shared),
        'service.cilium.io/affinity': state.affinity,
      },
    },
    spec: {
      clusterIP: serviceAddress(cluster, group, i),
      ports: [{ name: 'dns', protocol: 'UDP', port: SERVICE_PORT, targetPort: BACKEND_PORT }],
    },
  })
}

function sliceObject(cluster: ClusterSpec, group: number, i: number, state: ServiceState): string {
  const name = serviceName(group, i)
  return JSON.stringify({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'dns', protocol: 'UDP', port: BACKEND_PORT }],
    endpoints: state.endpoints.map(([place, condition]) => ({
      addresses: [backendAddress(cluster, group, i, place)],
      conditions: {
        ready: condition === 'ready',
        serving: condition !== 'not-ready',
        terminating: condition === 'serving',
      },
    })),
  })
}

function podObject(cluster: ClusterSpec, group: number, i: number, place: number): string {
  const ip = podAddress(cluster, group, i, place)
  const host = podHost(cluster)
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: podName(group, i), namespace: NAMESPACE, labels: podLabels(group) },
    spec: { nodeName: host.name, containers: [{ name: 'app', image: 'app' }] },
    status: { phase: 'Running', hostIP: host.ip, podIP: ip, podIPs: [{ ip }] },
  })
}
