import type { BackendSet, Condition, Endpoint, EndpointPort } from '../../types/backend.ts'
import type { Pod } from '../../types/node.ts'
import type { Service } from '../../types/service.ts'
import { DEFAULT_WEIGHT } from './endpoint-slice.ts'

/** Pods by label, so that ten thousand selectors do not each read every pod. */
export class PodIndex {
  readonly #byLabel = new Map<string, Pod[]>()

  constructor(pods: Iterable<Pod>) {
    for (const pod of pods) {
      for (const [key, value] of Object.entries(pod.labels)) {
        const bucket = `${pod.namespace}/${key}=${value}`
        const members = this.#byLabel.get(bucket)
        if (members === undefined) this.#byLabel.set(bucket, [pod])
        else members.push(pod)
      }
    }
  }

  /** Pods of the namespace that carry every label of the selector. An empty selector selects nothing. */
  select(namespace: string, selector: Readonly<Record<string, string>>): Pod[] {
    const wanted = Object.entries(selector)
    const [first] = wanted
    if (first === undefined) return []
    const candidates = this.#byLabel.get(`${namespace}/${first[0]}=${first[1]}`) ?? []
    return candidates.filter((pod) => wanted.every(([key, value]) => pod.labels[key] === value))
  }
}

/**
 * The endpoints a cluster's endpoint-slice controller would write for a service with a selector; key
 * `<cluster>/<namespace>/<name>/pods`. Endpoints are in order of address, so that the order of files does not matter.
 */
export function backendsFromPods(
  service: Service,
  pods: PodIndex,
  cluster: string,
  zoneOf: (nodeName: string) => string | undefined,
): BackendSet {
  const namespace = service.name.slice(0, service.name.indexOf('/'))
  const shared = new Map<string, readonly EndpointPort[]>()
  const endpoints: Endpoint[] = []
  for (const pod of pods.select(namespace, service.selector)) {
    const condition = conditionOf(pod)
    if (condition === undefined || pod.address === undefined) continue
    const ports = resolvePorts(service, pod)
    if (ports.length === 0 && service.ports.length > 0) continue
    const shape = ports.map((port) => `${port.name}:${port.port}/${port.protocol}`).join()
    const known = shared.get(shape)
    if (known === undefined) shared.set(shape, ports)
    endpoints.push({
      address: pod.address,
      ports: known ?? ports,
      condition,
      nodeName: pod.nodeName,
      zone: pod.nodeName === undefined ? undefined : zoneOf(pod.nodeName),
      weight: DEFAULT_WEIGHT,
    })
  }
  endpoints.sort((a, b) => a.address - b.address)
  return { key: `${cluster}/${service.name}/pods`, service: service.name, cluster, endpoints, origin: service.origin }
}

/** Undefined: the pod is no endpoint at all. */
function conditionOf(pod: Pod): Condition | undefined {
  if (pod.terminating) return pod.ready ? 'serving' : undefined
  return pod.ready ? 'ready' : 'not-ready'
}

/** A named target port means whatever number each pod gives that name; a pod that does not have it lacks the port. */
function resolvePorts(service: Service, pod: Pod): EndpointPort[] {
  const ports: EndpointPort[] = []
  for (const { name, protocol, targetPort } of service.ports) {
    const port =
      typeof targetPort === 'number'
        ? targetPort
        : pod.namedPorts.find((named) => named.name === targetPort && named.protocol === protocol)?.port
    if (port !== undefined) ports.push({ name, protocol, port })
  }
  return ports
}
