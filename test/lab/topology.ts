import { LabError } from './errors.ts'

/**
 * The lab's shape, as data: two to five clusters of two nodes on one L2 segment, pods behind them, one client outside.
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

/** One row of the address plan. Pairs are of its control-plane node and of its worker. */
interface Plan {
  readonly name: string
  /** Pod addresses are 10.PODS.0.0/16, service addresses 10.SERVICES.0.0/16. */
  readonly pods: number
  readonly services: number
  /** Last bytes: of the nodes on the segment, of the curl pod, of the web pods. */
  readonly nodes: readonly [number, number]
  readonly curl: number
  readonly webAt: readonly [number, number]
  /** What the names of the web pods end with. */
  readonly web: readonly [string, string]
}

/** In the order of the cluster ids, from 1. The first two are the guide's. */
const PLANS: readonly Plan[] = [
  { name: 'west', pods: 0, services: 2, nodes: [2, 6], curl: 144, web: ['rcp4r', 'jjpz9'], webAt: [46, 219] },
  { name: 'east', pods: 1, services: 3, nodes: [4, 3], curl: 128, web: ['gkh6r', '75q89'], webAt: [190, 41] },
  { name: 'north', pods: 4, services: 6, nodes: [7, 8], curl: 133, web: ['m2k7d', 'x8tqv'], webAt: [61, 117] },
  { name: 'south', pods: 5, services: 7, nodes: [9, 10], curl: 152, web: ['c9wzl', 'h4snb'], webAt: [83, 205] },
  { name: 'central', pods: 8, services: 10, nodes: [11, 12], curl: 171, web: ['p6fgr', 'v3jxt'], webAt: [94, 238] },
]

export const MOST_CLUSTERS = PLANS.length

const ROLES = ['control-plane', 'worker'] as const
const BOTH = [0, 1] as const

function clusterOf(plan: Plan, index: number): ClusterSpec {
  const { name } = plan
  const id = index + 1
  const pods = `10.${String(plan.pods)}`
  return {
    name,
    id,
    podCidr: `${pods}.0.0/16`,
    serviceCidr: `10.${String(plan.services)}.0.0/16`,
    loadBalancerCidr: `172.16.${String(id)}.0/24`,
    nodes: BOTH.map((at) => node(name, ROLES[at], `172.18.0.${String(plan.nodes[at])}`, `${pods}.${String(at)}.0/24`)),
    pods: [
      curlPod(name, `${pods}.0.${String(plan.curl)}`),
      ...BOTH.map((at) => webpod(name, ROLES[at], plan.web[at], `${pods}.${String(at)}.${String(plan.webAt[at])}`)),
    ],
  }
}

/** What a lab can be asked to be when it comes up; it stays that until it goes down. */
export interface Shape {
  /** 2 to MOST_CLUSTERS. */
  readonly clusters: number
  /** Whether each cluster has a kvstoremesh, and its agents read the copies that it keeps in their own etcd. */
  readonly kvstoremesh: boolean
}

export const DEFAULT_SHAPE: Shape = { clusters: 2, kvstoremesh: false }

const ALL = PLANS.map(clusterOf)

/** The lab of the first `shape.clusters` clusters. The same cluster is the same object, whichever shape it is taken from. */
export function topologyFor(shape: Pick<Shape, 'clusters'> = DEFAULT_SHAPE): Topology {
  return {
    segment: '172.18.0.0/24',
    bridge: { kind: 'bridge', name: 'segment', ip: '' },
    client: { kind: 'client', name: 'client', ip: '172.18.0.100' },
    clusters: ALL.slice(0, shape.clusters),
  }
}

/** @throws LabError no-such-cluster */
export function clusterNamed(topology: Topology, name: string): ClusterSpec {
  const found = topology.clusters.find((cluster) => cluster.name === name)
  if (found !== undefined) return found
  const known = topology.clusters.map((cluster) => cluster.name).join(', ')
  throw new LabError('no-such-cluster', `no cluster ${JSON.stringify(name)}`, { hint: `one of: ${known}` })
}

/** A host's id: unique in the lab, the name of its directory and of its cgroup. Pods carry their cluster, because names repeat. */
export function hostId(host: HostSpec): string {
  return host.kind === 'pod' ? `${host.cluster}.${host.name}` : host.name
}

/** Every host, nodes before the pods that hang on them. */
export function allHosts(topology: Topology): HostSpec[] {
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
