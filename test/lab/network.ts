import { holderOrFail } from './hosts.ts'
import type { LabPaths } from './paths.ts'
import { must } from './process.ts'
import { topologyOf } from './shape.ts'
import { UPLINK, controlPlane, type HostSpec, type NodeSpec, type PodSpec, type Topology } from './topology.ts'

/** The address pods send everything to, and the hardware address that every node answers it with: no ARP, no per-node state. */
const GATEWAY = '169.254.1.1'
const GATEWAY_MAC = 'ee:ee:ee:ee:ee:ee'

/** The node's side of a pod's veth; the pod's own side is eth0. */
export function podDevice(pod: PodSpec): string {
  return `lxc-${pod.name.split('-').at(-1) ?? pod.name}`.slice(0, 15)
}

/** The bridge's end of a host's uplink. */
const portOf = (host: HostSpec): string => `p-${host.ip.split('.').at(-1) ?? ''}`

type PidOf = (host: HostSpec) => number

/** `ip -batch` lines for the segment: a bridge, and one port for every node and for the client. */
export function segmentLines(topology: Topology, pidOf: PidOf): string[] {
  const members: HostSpec[] = [...topology.clusters.flatMap((cluster) => cluster.nodes), topology.client]
  const ports = members.flatMap((member) => {
    const port = portOf(member)
    return [
      `link add ${port} type veth peer name ${UPLINK} netns ${String(pidOf(member))}`,
      `link set ${port} master br0 up`,
    ]
  })
  return ['link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0', 'link set br0 up', ...ports]
}

/** The node's uplink, and a veth with a host route for each of its pods. Routes to other nodes' pods are the agent's work. */
export function nodeLines(node: NodeSpec, pods: readonly PodSpec[], pidOf: PidOf): string[] {
  const uplink = [`addr add ${node.ip}/24 dev ${UPLINK}`, `link set ${UPLINK} up`]
  const veths = pods.flatMap((pod) => {
    const device = podDevice(pod)
    return [
      `link add ${device} address ${GATEWAY_MAC} type veth peer name ${UPLINK} netns ${String(pidOf(pod))}`,
      `link set ${device} up`,
      `route add ${pod.ip}/32 dev ${device} src ${node.ip}`,
    ]
  })
  return [...uplink, ...veths]
}

export function podLines(pod: PodSpec): string[] {
  return [
    `addr add ${pod.ip}/32 dev ${UPLINK}`,
    `link set ${UPLINK} up`,
    `neigh add ${GATEWAY} lladdr ${GATEWAY_MAC} dev ${UPLINK} nud permanent`,
    `route add ${GATEWAY} dev ${UPLINK} scope link`,
    `route add default via ${GATEWAY} dev ${UPLINK}`,
  ]
}

/** The client knows the segment, and one way to each cluster's LoadBalancer addresses. */
export function clientLines({ client, clusters }: Topology): string[] {
  return [
    `addr add ${client.ip}/24 dev ${UPLINK}`,
    `link set ${UPLINK} up`,
    ...clusters.map((cluster) => `route add ${cluster.loadBalancerCidr} via ${controlPlane(cluster).ip}`),
  ]
}

/** Whether agents with these settings put XDP on the uplinks. */
export function takesXdp(settings: readonly string[]): boolean {
  return settings.some((setting) => /^loadBalancer\.acceleration=(?!disabled$)/.test(setting))
}

/**
 * What native XDP on one end of a veth asks of the other ends: a ring for what is sent back (`gro on`), and packets that have
 * their checksums, as nothing finishes those that XDP forwards (`tx off`): also those that the segment has merged and takes apart again.
 */
export async function prepareForXdp(lab: LabPaths): Promise<void> {
  const topology = topologyOf(lab)
  const on = (host: HostSpec, ...settings: string[]): Promise<string> =>
    must(['nsenter', '-t', String(holderOrFail(lab, host).pid), '-n', 'ethtool', '-K', ...settings])
  const members: HostSpec[] = [...topology.clusters.flatMap((cluster) => cluster.nodes), topology.client]
  const pods = topology.clusters.flatMap((cluster) => cluster.pods)
  for (const member of members) await on(topology.bridge, portOf(member), 'gro', 'on', 'tx', 'off')
  await Promise.all([...members, ...pods].map((host) => on(host, UPLINK, 'tx', 'off')))
}

/** Wires all hosts together. Every holder must be up; nothing may be wired yet. */
export async function wire(lab: LabPaths, xdp = false): Promise<void> {
  const topology = topologyOf(lab)
  const pidOf: PidOf = (host) => holderOrFail(lab, host).pid
  const ip = (host: HostSpec, lines: string[]): Promise<string> =>
    must(['nsenter', '-t', String(pidOf(host)), '-n', 'ip', '-batch', '-'], { input: `${lines.join('\n')}\n` })
  await ip(topology.bridge, segmentLines(topology, pidOf))
  const nodes = topology.clusters.flatMap((cluster) =>
    cluster.nodes.map(async (node) => {
      const pods = cluster.pods.filter((pod) => pod.node === node.name)
      await ip(node, nodeLines(node, pods, pidOf))
      await Promise.all(pods.map((pod) => ip(pod, podLines(pod))))
    }),
  )
  await Promise.all([...nodes, ip(topology.client, clientLines(topology))])
  if (xdp) await prepareForXdp(lab)
}
