import type { Address } from '../types/address.ts'
import type { BackendDecision, BackendGroup, Frontend, SlotBackend } from '../types/frontend.ts'
import type { HostPort, Pod } from '../types/node.ts'
import type { Problem } from '../types/problem.ts'
import type { DesiredFrontends } from './frontends.ts'
import type { Snapshot } from './snapshot.ts'
import { cidrContains, formatAddress, parseAddress, parseCidr } from '../types/address.ts'
import { frontendId } from '../types/frontend.ts'
import { SERVICE_FLAGS as FLAG } from '../types/service-flags.ts'
import { serviceName } from '../types/service.ts'
import { isBalanced, notBalanced } from './protocols.ts'

const LOOPBACK = parseCidr('127.0.0.0/8')!
const LOCALHOST = parseAddress('127.0.0.1')!
const NOTHING: DesiredFrontends = { frontends: [], problems: [] }
/** As every backend that nobody weighs. */
const WEIGHT = 100

/**
 * What a pod of this node answers on by its hostPorts: the node's addresses and, for processes of the node itself, 127.0.0.1; or
 * just the hostIP. Whether the pod is ready does not count: it is the pod itself that was asked for.
 */
export function desiredHostPorts(snap: Snapshot, pod: Pod | undefined): DesiredFrontends {
  if (pod === undefined || pod.hostPorts.length === 0 || pod.nodeName !== snap.local.nodeName) return NOTHING
  if (pod.address === undefined) return NOTHING
  const frontends: Frontend[] = []
  const problems: Problem[] = []
  for (const port of pod.hostPorts) {
    if (!isBalanced(port.protocol)) {
      problems.push(notBalanced(`${pod.origin}: pod ${pod.key}, hostPort ${port.hostPort}`, port.protocol))
      continue
    }
    const addresses = addressesOf(snap, port.hostIp)
    if (addresses.length === 0) problems.push(notHere(pod, port))
    const group = groupOf(snap, pod, pod.address, port)
    for (const address of addresses) frontends.push(frontendAt(pod, port, address, group))
  }
  return { frontends, problems }
}

function addressesOf(snap: Snapshot, hostIp: Address | undefined): readonly Address[] {
  const { nodeAddresses } = snap.local
  if (hostIp === undefined) return [...nodeAddresses, LOCALHOST]
  return nodeAddresses.includes(hostIp) || cidrContains(LOOPBACK, hostIp) ? [hostIp] : []
}

function frontendAt(pod: Pod, port: HostPort, address: Address, group: BackendGroup): Frontend {
  const inside = cidrContains(LOOPBACK, address) ? FLAG.HOSTPORT_LOOPBACK : FLAG.ROUTABLE
  return {
    id: frontendId(address, port.hostPort, port.protocol, 'ext'),
    address,
    port: port.hostPort,
    protocol: port.protocol,
    scope: 'ext',
    service: serviceName(pod.namespace, pod.name),
    type: 'HostPort',
    flags: FLAG.HOSTPORT | inside,
    algorithm: 'random',
    forwarding: 'snat',
    affinitySeconds: 0,
    maglevSize: 0,
    group,
  }
}

function groupOf(snap: Snapshot, pod: Pod, address: Address, port: HostPort): BackendGroup {
  const { clusterName, clusterId } = snap.local
  const backend = { address, port: port.containerPort, protocol: port.protocol, clusterId, weight: WEIGHT }
  const slot: SlotBackend = { ...backend, state: pod.terminating ? 'terminating' : 'active' }
  const decision: BackendDecision = {
    ...backend,
    cluster: clusterName,
    nodeName: pod.nodeName,
    zone: undefined,
    condition: pod.terminating ? 'serving' : 'ready',
    selected: true,
    preferred: false,
    tier: 0,
    reason: 'selected',
  }
  return { slots: [slot], count: 1, decisions: [decision] }
}

function notHere(pod: Pod, { hostIp, hostPort }: HostPort): Problem {
  return {
    code: 'host-ip-not-here',
    message: `${pod.origin}: pod ${pod.key} asks for hostPort ${hostPort} on ${formatAddress(hostIp!)}, which is no address of this node`,
    hint: 'leave hostIP out for all addresses of the node, or name one that its Node object lists',
  }
}
