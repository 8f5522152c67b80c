import type { ClusterSpec, NodeSpec } from '../lab/topology.ts'
import {
  BACKEND_PORT,
  NAMESPACE,
  SERVICE_PORT,
  backendAddress,
  podAddress,
  podHost,
  podLabels,
  serviceAddress,
  serviceName,
} from './objects.ts'
import type { Condition, ServiceState, WriterState } from './objects.ts'
import { PROBED_PORT, backendsOf, probedAddress, type ProbedService } from './probed.ts'

/**
 * What the maps of a node have to hold when everything is well, worked out from what the writers left and from nothing else.
 * It shares no code with what it judges.
 */
export interface Truth {
  /** Backends that take new connections, sorted, by frontend as `weft bpf lb list` prints it. */
  readonly frontends: ReadonlyMap<string, readonly string[]>
  /** Whose a frontend is, of services that are gone as well. */
  readonly names: ReadonlyMap<string, string>
  /** By prefix, of the writers' pods. */
  readonly pods: ReadonlyMap<string, PodTruth>
}

export interface PodTruth {
  readonly clusterId: number
  /** Pods with the same text have one identity, others have another. */
  readonly identity: string
  readonly tunnelEndpoint: string
}

export function truthOf(
  node: NodeSpec,
  clusters: readonly ClusterSpec[],
  writers: readonly WriterState[],
  probed: readonly ProbedService[],
): Truth {
  const own = clusters.find(({ name }) => name === node.cluster)
  if (own === undefined) throw new TypeError(`no cluster ${node.cluster}`)
  const frontends = new Map<string, readonly string[]>()
  const names = new Map<string, string>()
  for (const writer of writers) {
    if (writer.cluster !== own) continue
    const peers = writers.filter(({ group, cluster }) => group === writer.group && cluster !== own)
    for (const [i, service] of writer.services.entries()) {
      const address = `${serviceAddress(own, writer.group, i)}:${SERVICE_PORT}/UDP`
      names.set(address, `${NAMESPACE}/${serviceName(writer.group, i)}`)
      if (!service.exists) continue
      frontends.set(address, chosen(writer, peers, i, service))
    }
  }
  for (const service of probed) {
    const backends = backendsOf(clusters, service).map(({ ip }) => `${ip}:80/TCP`)
    // A node port is there for each of the node's addresses, and for sockets of the node that name no address.
    const ports = [node.ip, '0.0.0.0'].map((ip) => `${ip}:${service.nodePort}/TCP`)
    for (const address of [`${probedAddress(own, service)}:${PROBED_PORT}/TCP`, ...ports]) {
      frontends.set(address, backends.sort())
      names.set(address, `default/${service.name}`)
    }
  }
  return { frontends, names, pods: podsOf(writers) }
}

/** The best there is: ready before serving, and among equals the side that the affinity names. */
function chosen(own: WriterState, peers: readonly WriterState[], i: number, service: ServiceState): readonly string[] {
  const local = addresses(own, i)
  const remote = (condition: Condition): string[] =>
    peers.flatMap((peer) => {
      const there = peer.services[i]
      return there?.exists === true && there.shared ? addresses(peer, i)(condition) : []
    })
  for (const condition of ['ready', 'serving'] as const) {
    const [here, there] = [local(condition), remote(condition)]
    const order = service.affinity === 'local' ? [here, there] : [there, here]
    const best = service.affinity === 'none' ? [...here, ...there] : order.find((side) => side.length > 0)
    if (best !== undefined && best.length > 0) return best.sort()
  }
  return []
}

function addresses({ cluster, group, services }: WriterState, i: number): (condition: Condition) => string[] {
  return (wanted) =>
    (services[i]?.endpoints ?? [])
      .filter(([, condition]) => condition === wanted)
      .map(([place]) => `${backendAddress(cluster, group, i, place)}:${BACKEND_PORT}/UDP`)
}

function podsOf(writers: readonly WriterState[]): Map<string, PodTruth> {
  const pods = new Map<string, PodTruth>()
  for (const { cluster, group, pods: places } of writers) {
    for (const [i, place] of places.entries()) {
      if (place === undefined) continue
      pods.set(`${podAddress(cluster, group, i, place)}/32`, {
        clusterId: cluster.id,
        identity: `${cluster.name} ${JSON.stringify(podLabels(group))}`,
        tunnelEndpoint: podHost(cluster).ip,
      })
    }
  }
  return pods
}
