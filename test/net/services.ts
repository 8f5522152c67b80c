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
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: protocols.map((protocol) => ({ name: protocol.toLowerCase(), protocol, port })),
    endpoints: backends.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  }
  return [service, slice]
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
