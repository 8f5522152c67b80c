import { stringify } from 'yaml'
import type { ClusterSpec } from '../lab/topology.ts'

/**
 * The services that are asked all the time: real pods behind them, in every cluster. `any` has backends everywhere; `away-C`
 * has none in C, so that clients of C always need another cluster.
 */
export interface ProbedService {
  readonly name: string
  /** The cluster that has no backends for it. */
  readonly without: string | undefined
  readonly nodePort: number
  /** Last byte of its address in every cluster. */
  readonly host: number
}

export const PROBED_PORT = 80

export function probedServices(clusters: readonly ClusterSpec[]): ProbedService[] {
  return [undefined, ...clusters.map(({ name }) => name)].map((without, i) => ({
    name: without === undefined ? 'any' : `away-${without}`,
    without,
    nodePort: 31_000 + i,
    host: 1 + i,
  }))
}

export function probedAddress(cluster: ClusterSpec, service: ProbedService): string {
  const [a = '', b = ''] = cluster.serviceCidr.split('.')
  return `${a}.${b}.0.${service.host}`
}

export interface PodPlace {
  readonly cluster: string
  readonly node: string
  readonly ip: string
}

/** The pods behind a service, of all clusters. */
export function backendsOf(clusters: readonly ClusterSpec[], service: ProbedService): PodPlace[] {
  return clusters.flatMap(({ name, pods }) =>
    name === service.without
      ? []
      : pods.filter(({ serves }) => serves).map(({ node, ip }) => ({ cluster: name, node, ip })),
  )
}

export function probedManifest(cluster: ClusterSpec, services: readonly ProbedService[]): string {
  return services
    .map((service) =>
      stringify({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: {
          name: service.name,
          namespace: 'default',
          annotations: { 'service.cilium.io/global': 'true' },
        },
        spec: {
          type: 'NodePort',
          clusterIP: probedAddress(cluster, service),
          selector: { app: service.without === cluster.name ? 'nobody' : 'webpod' },
          ports: [{ name: 'http', protocol: 'TCP', port: PROBED_PORT, targetPort: 80, nodePort: service.nodePort }],
        },
      }),
    )
    .join('---\n')
}

/** Something that is asked: who asks, through which node, for which service. */
export interface Route {
  /** `west/any`, `client>east/away-east`. */
  readonly name: string
  readonly service: ProbedService
  /** The cluster and node whose maps decide. */
  readonly cluster: string
  readonly node: string
  /** From outside, through a node port, so that the way to the node counts as well. */
  readonly outside: boolean
  readonly host: string
  readonly port: number
}

/** From a pod of each cluster, on its control-plane node, to cluster addresses. */
export function podRoutes(cluster: ClusterSpec, node: string, services: readonly ProbedService[]): Route[] {
  return concerning(cluster, services).map((service) => ({
    name: `${cluster.name}/${service.name}`,
    ...{ service, cluster: cluster.name, node, outside: false },
    ...{ host: probedAddress(cluster, service), port: PROBED_PORT },
  }))
}

/** From the client outside to node ports of each cluster's worker. */
export function clientRoutes(clusters: readonly ClusterSpec[], services: readonly ProbedService[]): Route[] {
  return clusters.flatMap((cluster) => {
    const node = cluster.nodes.find(({ role }) => role === 'worker')
    if (node === undefined) return []
    return concerning(cluster, services).map((service) => ({
      name: `client>${cluster.name}/${service.name}`,
      ...{ service, cluster: cluster.name, node: node.name, outside: true, host: node.ip, port: service.nodePort },
    }))
  })
}

function concerning(cluster: ClusterSpec, services: readonly ProbedService[]): ProbedService[] {
  return services.filter(({ without }) => without === undefined || without === cluster.name)
}
