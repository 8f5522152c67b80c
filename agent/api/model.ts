import { RESERVED } from '../types/identity.ts'
import { formatAddress, formatCidr } from '../types/address.ts'
import type { Pod } from '../types/node.ts'
import { clusterMeshReport } from './clustermesh.ts'
import { statusProblems } from './problems.ts'
import type { EndpointReport, IdentityReport, NodeReport, StatusReport } from './types.ts'
import type { AgentView } from './view.ts'

export function statusReport(view: AgentView): StatusReport {
  const problems = statusProblems(view)
  return {
    ok: problems.length === 0,
    problems,
    version: view.version,
    cluster: view.cluster,
    node: view.node,
    uptimeSeconds: Math.max(0, Math.floor((view.now() - view.startedAt) / 1000)),
    waitingFor: view.waitingFor(),
    datapath: view.datapath(),
    targets: view.targets(),
    clusterMesh: clusterMeshReport(view.tables, view.cluster.name),
  }
}

/** All known nodes by name. */
export function nodeReports(view: AgentView): NodeReport[] {
  const nodes = [...view.tables.nodes.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
  return nodes.map((node) => ({
    name: node.key,
    address: formatAddress(node.address),
    podCidrs: node.podCidrs.map(formatCidr),
    source: node.cluster !== view.cluster.name ? 'clustermesh' : node.name === view.node.name ? 'local' : 'cluster',
    ...(node.zone === undefined ? {} : { zone: node.zone }),
  }))
}

/** `remoteNode` → `reserved:remote-node`: the labels other meshes print for the fixed identities. */
const RESERVED_IDENTITIES = Object.entries(RESERVED)
  .filter(([, id]) => id !== RESERVED.unknown)
  .map(([name, id]) => ({
    id,
    labels: [`reserved:${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`],
  }))

/** Reserved and allocated identities of all clusters by number. */
export function identityReports(view: AgentView): IdentityReport[] {
  const reports: IdentityReport[] = RESERVED_IDENTITIES.map((row) => ({ ...row, cluster: view.cluster.name }))
  for (const { id, labels, cluster } of view.ownIdentities()) reports.push({ id, labels, cluster })
  for (const { id, labels, cluster } of view.tables.identities.values()) reports.push({ id, labels, cluster })
  return reports.sort((a, b) => a.id - b.id)
}

/** Pods on this node that have an address of their own, by name. */
export function endpointReports(view: AgentView): EndpointReport[] {
  const known = [...view.ownIdentities(), ...view.tables.identities.values()]
  const labels = new Map(known.map((each) => [each.id, each.labels]))
  const pods = [...view.tables.pods.by('node', view.node.name)].filter((pod) => !pod.hostNetwork)
  pods.sort((a, b) => (a.key < b.key ? -1 : 1))
  return pods.map((pod) => {
    const identity = pod.address === undefined ? RESERVED.init : view.identityOf(pod)
    return {
      name: pod.key,
      address: pod.address === undefined ? '' : formatAddress(pod.address),
      identity,
      labels: labels.get(identity) ?? Object.entries(pod.labels).map(([key, value]) => `k8s:${key}=${value}`),
      state: endpointState(pod),
    }
  })
}

function endpointState(pod: Pod): EndpointReport['state'] {
  if (pod.address === undefined) return 'waiting-for-address'
  if (pod.terminating) return 'terminating'
  return pod.ready ? 'ready' : 'not-ready'
}
