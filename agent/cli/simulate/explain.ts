import type { DryAnswer } from '../../maps/dry-run.ts'
import type { FlowValueFields } from '../../maps/flow.ts'
import { FLOW_FLAGS } from '../../maps/flow.ts'
import { formatAddress } from '../../types/address.ts'
import { protocolName } from '../../types/service.ts'
import type { Packet } from './frame.ts'
import { TCP_FLAGS } from './frame.ts'
import type { HookName } from './hooks.ts'
import type { FrontendReport, MapState } from './state.ts'

/** What a reason means for this packet, and what to do. */
export function explainDrop(
  maps: MapState,
  packet: Packet,
  reason: string,
  frontend: FrontendReport | undefined,
): string[] {
  if (reason === 'no-service') {
    return frontend === undefined ? keptAddress(maps, packet) : noBackend(frontend)
  }
  const hint = HINTS[reason]
  return hint === undefined ? [] : [hint]
}

const HINTS: Readonly<Record<string, string>> = {
  'invalid-packet': 'headers contradict themselves or end too early',
  'frag-needed': 'the way is narrower than the packet, which may not be divided',
  'flow-create-failed': 'the flow table took no entry: weft bpf ct list, mapSizes.flowsTcp, flowsSyn and flowsAny',
  'nat-no-mapping': 'no source port is free for this backend, or the node has no address to send from',
  'no-fib': 'no route leads to the backend: ip route get BACKEND; weft status lists routes that are missing',
  'nat-unsupported-proto': 'neither TCP, UDP nor ping: it cannot leave with the address of the node',
  'frag-not-found': 'a later fragment whose first one did not come by here',
  'encap-prohibited': 'only nodes may send to the port of the encapsulation (UDP 6081)',
  'cluster-ip-from-outside': 'cluster addresses are for pods and nodes: use a NodePort or a LoadBalancer address',
  'not-in-source-range': "the service's loadBalancerSourceRanges keep this client out: weft explain service NS/NAME",
  'ttl-exceeded': 'the packet has been forwarded too often: look for a routing loop',
}

function noBackend(frontend: FrontendReport): string[] {
  const { active, kept } = frontend
  if (active.length > 0) return ['its slot leads to a backend that is gone: the agent repairs that at its next audit']
  if (kept.length === 0) return ['the service has no backend: weft explain service NS/NAME says why']
  const names = kept.map(({ address, state }) => `${address ?? 'gone'} (${state})`)
  return [
    `no backend may take new flows, these only keep what they have: ${names.join(', ')}`,
    'weft explain service NS/NAME says why',
  ]
}

function keptAddress(maps: MapState, packet: Packet): string[] {
  const ports = maps.portsOn(packet.destination)
  const address = formatAddress(packet.destination)
  const has = ports.length === 0 ? 'none' : ports.join(', ')
  return [`${address} is kept for services and has no frontend for this port; it has ${has}`]
}

/** A packet that nothing is done with. */
export interface Stranger {
  readonly packet: Packet
  readonly hook: HookName
  readonly frontend: FrontendReport | undefined
  /** The flow under its addresses. */
  readonly found: FlowValueFields | undefined
  readonly left: 'left-to-tc' | 'not-followed' | undefined
}

/** Why a packet is left as it is. */
export function explainStranger(maps: MapState, { packet, hook, frontend, found, left }: Stranger): string[] {
  if (left === 'left-to-tc') return ['XDP leaves this packet to the program at tc, as it came: try --hook ingress']
  if (left === 'not-followed') return ['encapsulated for this node: try the packet inside, at the node that was asked']
  if (found !== undefined) return [explainUntouched(found)]
  if (frontend?.flags.includes('ExternalIPs') === true && hook !== 'ingress' && hook !== 'xdp') {
    return ['pods and the node itself reach an external address by its service on a node alone that has the address']
  }
  if (frontend !== undefined) {
    return [
      'the frontend answers sockets of nodes and pods only, not packets from outside, or this packet opens no flow',
    ]
  }
  const ports = maps.portsOn(packet.destination)
  if (ports.length === 0)
    return ['no service has this address, and the packet belongs to no known flow: the stack gets it']
  const wanted = `${packet.destinationPort}/${protocolName(packet.protocol)}`
  return [`the address has no frontend ${wanted}, only ${ports.join(', ')}: the stack gets the packet`]
}

/** A flow is known, and its packet stays as it is here. */
function explainUntouched({ flags }: FlowValueFields): string {
  if ((flags & FLOW_FLAGS.DIRECT) !== 0) return 'the world talks to the pod by its own address: nothing is translated'
  if ((flags & FLOW_FLAGS.REV) === 0) return 'a flow has these addresses, and begins elsewhere than at this hook'
  if ((flags & FLOW_FLAGS.CLIENT_HERE) !== 0) {
    return "an answer to a pod of this node: it gets the service's address as it leaves by the pod's device"
  }
  return "an answer of a backend of this node, which is translated where it comes from: the pod's device (--hook pod)"
}

/** Why a flow that has the packet's addresses does not go on. */
export function explainChange(maps: MapState, flow: FlowValueFields, begins: boolean, tcpFlags: number): string[] {
  if (!begins) return []
  const said = (why: string): string[] => [`a flow with these addresses is known and does not go on: ${why}`]
  const isSyn = (tcpFlags & TCP_FLAGS['S']!) !== 0
  if (isSyn && (flow.flags & (FLOW_FLAGS.FIN_SELF | FLOW_FLAGS.RST)) !== 0) return said('its sender had ended it')
  const backend = maps.backend(flow.backendId)
  if (backend.address === undefined) return said('its backend is gone')
  if (isSyn && backend.state !== 'active') return said(`its backend is ${backend.state} and gets no new connections`)
  return said('it leads elsewhere')
}

export interface Outcome {
  readonly hook: HookName
  readonly interface: string
  readonly packet: Packet
  readonly after: Packet
  readonly answer: DryAnswer
  readonly frontend: FrontendReport | undefined
  readonly known: FlowValueFields | undefined
  readonly path: { readonly device?: string; readonly nextHop?: string }
}

/** What the outcome does not show by itself. */
export function explainWay(outcome: Outcome): string[] {
  const { hook, packet, after, answer, frontend, known, path } = outcome
  const notes: string[] = []
  const choices = frontend?.active.length ?? 0
  const isMasqueraded = answer.isNew ? answer.serviceId === 0 : ((known?.flags ?? 0) & FLOW_FLAGS.MASQ) !== 0
  if (answer.isNew && answer.serviceId !== 0 && frontend?.algorithm === 'random' && choices > 1) {
    const kept = frontend.affinitySeconds > 0 ? ' unless it has one by session affinity' : ''
    notes.push(`one of ${choices} backends, by chance${kept}: the next client may get another`)
  }
  if (isMasqueraded) notes.push("the node's address stands for the pod's, which means nothing there (bpf.masquerade)")
  if (answer.isNew && after.source !== packet.source) {
    notes.push('the source port is the one that is tried first; if it is taken, another is looked for')
  }
  if (hook === 'pod' && path.device === outcome.interface)
    notes.push('the pod is its own backend: back by its own device')
  if (
    known !== undefined &&
    (known.flags & FLOW_FLAGS.REV) === 0 &&
    frontend !== undefined &&
    isKept(frontend, known)
  ) {
    notes.push('its backend keeps the flows it has and gets no new ones: weft explain service NS/NAME says why')
  }
  if (path.nextHop !== undefined) {
    notes.push(
      "the next hop's hardware address is not known yet: the kernel asks for it and keeps the packet meanwhile",
    )
  }
  return notes
}

function isKept({ kept }: FrontendReport, { backendId }: FlowValueFields): boolean {
  return kept.some(({ id }) => id === backendId)
}
