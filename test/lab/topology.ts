/**
 * The lab's shape, as data: two clusters of two nodes on one L2 segment, pods behind them, one client outside.
 *
 * Addresses and names are those of the ClusterMesh guide that the story follows. Nothing here touches the machine.
 */

/** A pod: a network namespace behind a veth to its node. `serves` pods run the web server. */
export interface PodSpec {
  readonly kind: 'pod'
  readonly name: string
  readonly namespace: string
  readonly cluster: string
  readonly node: string
  readonly ip: string
  readonly labels: Readonly<Record<string, string>>
  readonly serves: boolean
}

/** A node: a network namespace on the segment, with its own mounts, bpffs and cgroup. */
export interface NodeSpec {
  readonly kind: 'node'
  readonly name: string
  readonly cluster: string
  readonly role: 'control-plane' | 'worker'
  readonly ip: string
  readonly podCidr: string
}

export interface ClusterSpec {
  readonly name: string
  readonly id: number
  readonly podCidr: string
  readonly serviceCidr: string
  /** Where the lab takes LoadBalancer addresses from; a /24 that the client routes to the control-plane node. */
  readonly loadBalancerCidr: string
  readonly nodes: readonly NodeSpec[]
  readonly pods: readonly PodSpec[]
}

/** A host that belongs to no cluster: the client, and the bridge that is the segment itself. */
export interface OutsiderSpec {
  readonly kind: 'client' | 'bridge'
  readonly name: string
  readonly ip: string
}

export type HostSpec = NodeSpec | PodSpec | OutsiderSpec

export interface Topology {
  readonly segment: string
  readonly clusters: readonly ClusterSpec[]
  readonly client: OutsiderSpec
  readonly bridge: OutsiderSpec
}

/** The uplink's name in every node, in every pod and in the client. */
export const UPLINK = 'eth0'

function webpod(cluster: string, node: string, suffix: string, ip: string): PodSpec {
  const labels = { app: 'webpod', 'pod-template-hash': '697b545f57' }
  const name = `webpod-697b545f57-${suffix}`
  return { kind: 'pod', name, namespace: 'default', cluster, node: `${cluster}-${node}`, ip, labels, serves: true }
}

function curlPod(cluster: string, ip: string): PodSpec {
  const node = `${cluster}-control-plane`
  return {
    kind: 'pod',
    name: 'curl-pod',
    namespace: 'default',
    cluster,
    node,
    ip,
    labels: { app: 'curl' },
    serves: false,
  }
}

function node(cluster: string, role: NodeSpec['role'], ip: string, podCidr: string): NodeSpec {
  return { kind: 'node', name: `${cluster}-${role}`, cluster, role, ip, podCidr }
}

export const topology: Topology = {
  segment: '172.18.0.0/24',
  bridge: { kind: 'bridge', name: 'segment', ip: '' },
  client: { kind: 'client', name: 'client', ip: '172.18.0.100' },
  clusters: [
    {
      name: 'west',
      id: 1,
      podCidr: '10.0.0.0/16',
      serviceCidr: '10.2.0.0/16',
      loadBalancerCidr: '172.16.1.0/24',
      nodes: [
        node('west', 'control-plane', '172.18.0.2', '10.0.0.0/24'),
        node('west', 'worker', '172.18.0.6', '10.0.1.0/24'),
      ],
      pods: [
        curlPod('west', '10.0.0.144'),
        webpod('west', 'control-plane', 'rcp4r', '10.0.0.46'),
        webpod('west', 'worker', 'jjpz9', '10.0.1.219'),
      ],
    },
    {
      name: 'east',
      id: 2,
      podCidr: '10.1.0.0/16',
      serviceCidr: '10.3.0.0/16',
      loadBalancerCidr: '172.16.2.0/24',
      nodes: [
        node('east', 'control-plane', '172.18.0.4', '10.1.0.0/24'),
        node('east', 'worker', '172.18.0.3', '10.1.1.0/24'),
      ],
      pods: [
        curlPod('east', '10.1.0.128'),
        webpod('east', 'control-plane', 'gkh6r', '10.1.0.190'),
        webpod('east', 'worker', '75q89', '10.1.1.41'),
      ],
    },
  ],
}

/** A host's id: unique in the lab, the name of its directory and of its cgroup. Pods carry their cluster, because names repeat. */
export function hostId(host: HostSpec): string {
  return host.kind === 'pod' ? `${host.cluster}.${host.name}` : host.name
}

/** Every host, nodes before the pods that hang on them. */
export function allHosts(): HostSpec[] {
  const nodes = topology.clusters.flatMap((cluster) => cluster.nodes)
  const pods = topology.clusters.flatMap((cluster) => cluster.pods)
  return [topology.bridge, topology.client, ...nodes, ...pods]
}

export function controlPlane(cluster: ClusterSpec): NodeSpec {
  const found = cluster.nodes.find((candidate) => candidate.role === 'control-plane')
  if (found === undefined) throw new TypeError(`cluster ${cluster.name} has no control-plane node`)
  return found
}

/** The client URL of a cluster's etcd, reachable from every node. */
export function etcdUrl(cluster: ClusterSpec): string {
  return `http://${controlPlane(cluster).ip}:2379`
}
