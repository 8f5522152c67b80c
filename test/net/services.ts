export interface NodePortSpec {
  readonly name: string
  readonly nodePort: number
  /** Addresses of backends, all on one port. */
  readonly backends: readonly string[]
  readonly port: number
  /** Made of the node port where nothing is said. */
  readonly clusterIP?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** A NodePort service of TCP and UDP with these backends. */
export function nodePortService(spec: NodePortSpec): object[] {
  const { name, nodePort, backends, port } = spec
  const clusterIP = spec.clusterIP ?? `10.96.${nodePort >> 8}.${nodePort & 0xff}`
  const protocols = ['TCP', 'UDP'] as const
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default', annotations: spec.annotations ?? {} },
    spec: {
      type: 'NodePort',
      clusterIP,
      ports: protocols.map((protocol) => ({ name: protocol.toLowerCase(), protocol, port, nodePort })),
    },
  }
  const ports = protocols.map((protocol) => ({ name: protocol.toLowerCase(), protocol, port }))
  return [service, endpointSlice(name, ports, backends)]
}

/** The one endpoint slice of a service. An endpoint that is an address alone is ready. */
export function endpointSlice(
  service: string,
  ports: readonly object[],
  endpoints: readonly (string | object)[],
  namespace = 'default',
): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${service}-1`, namespace, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports,
    endpoints: endpoints.map((each) =>
      typeof each === 'string' ? { addresses: [each], conditions: { ready: true } } : each,
    ),
  }
}

/** A pod of the agent's own node. */
export function pod(name: string, address: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: { nodeName: 'west-worker', containers: [{ name, image: 'none' }] },
    status: { phase: 'Running', podIP: address, conditions: [{ type: 'Ready', status: 'True' }] },
  }
}
