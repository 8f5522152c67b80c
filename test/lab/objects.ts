import { BPF_ROOT } from './hosts.ts'
import { etcdUrl, UPLINK, type ClusterSpec, type NodeSpec, type PodSpec } from './topology.ts'

/** The Kubernetes objects the lab writes for what it built, and the configuration of its daemons: plain values, pure. */

const CREATED = '2025-08-01T00:00:00Z'

export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [key: string]: unknown }
  readonly [key: string]: unknown
}

export function nodeObject(node: NodeSpec): KubernetesObject {
  const labels: Record<string, string> = { 'kubernetes.io/hostname': node.name, 'kubernetes.io/os': 'linux' }
  if (node.role === 'control-plane') labels['node-role.kubernetes.io/control-plane'] = ''
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: node.name, labels },
    spec: { podCIDR: node.podCidr, podCIDRs: [node.podCidr] },
    status: {
      addresses: [
        { type: 'InternalIP', address: node.ip },
        { type: 'Hostname', address: node.name },
      ],
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: CREATED }],
    },
  }
}

export function podObject(pod: PodSpec, node: NodeSpec): KubernetesObject {
  const container = pod.serves
    ? { name: 'webpod', image: 'traefik/whoami', ports: [{ containerPort: 80, protocol: 'TCP' }] }
    : { name: 'curl', image: 'nicolaka/netshoot' }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: pod.name, namespace: pod.namespace, labels: { ...pod.labels } },
    spec: { nodeName: pod.node, containers: [container] },
    status: {
      phase: 'Running',
      hostIP: node.ip,
      podIP: pod.ip,
      podIPs: [{ ip: pod.ip }],
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: CREATED }],
    },
  }
}

export interface DaemonPaths {
  /** The daemon's own directory; everything below is in it. */
  readonly dir: string
  readonly manifests: string
  readonly socket: string
}

export function agentConfig(
  cluster: ClusterSpec,
  node: NodeSpec,
  paths: DaemonPaths & { readonly cgroup: string; readonly clustermesh: string },
): Record<string, unknown> {
  return {
    clusterName: cluster.name,
    clusterId: cluster.id,
    nodeName: node.name,
    nodeIp: node.ip,
    uplink: UPLINK,
    manifests: paths.manifests,
    clustermeshConfig: paths.clustermesh,
    bpfRoot: BPF_ROOT,
    cgroupRoot: paths.cgroup,
    stateDir: `${paths.dir}/state`,
    apiSocket: paths.socket,
    logLevel: 'info',
    loadBalancer: { algorithm: 'random' },
  }
}

export function apiserverConfig(cluster: ClusterSpec, paths: DaemonPaths): Record<string, unknown> {
  return {
    clusterName: cluster.name,
    clusterId: cluster.id,
    manifests: paths.manifests,
    etcdEndpoints: [etcdUrl(cluster)],
    apiSocket: paths.socket,
    logLevel: 'info',
  }
}

export function kvstoremeshConfig(
  cluster: ClusterSpec,
  paths: { readonly socket: string; readonly clustermesh: string },
): Record<string, unknown> {
  return {
    clusterName: cluster.name,
    clusterId: cluster.id,
    clustermeshConfig: paths.clustermesh,
    etcdEndpoints: [etcdUrl(cluster)],
    apiSocket: paths.socket,
    logLevel: 'info',
  }
}

/** What a program reads to reach another cluster: etcd's client configuration, one file per cluster. */
export function meshEntry(etcdOf: ClusterSpec): Record<string, unknown> {
  return { endpoints: [etcdUrl(etcdOf)] }
}

/** Sets `a.b.c=value` in a configuration; the value is read as YAML by the caller. */
export function setPath(config: Record<string, unknown>, dotted: string, value: unknown): void {
  const keys = dotted.split('.')
  const last = keys.pop() ?? dotted
  let at = config
  for (const key of keys) {
    const next = at[key]
    const inner = typeof next === 'object' && next !== null ? (next as Record<string, unknown>) : {}
    at[key] = inner
    at = inner
  }
  at[last] = value
}
