import { formatAddress } from '../../types/address.ts'
import { protocolName } from '../bpf/format.ts'
import type { Packet } from './frame.ts'
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
  'flow-create-failed': 'the flow table took no entry: weft bpf ct list, mapSizes.flowsTcp and mapSizes.flowsAny',
  'nat-no-mapping': 'no source port is free for this backend, or the node has no address to send from',
  'no-fib': 'no route leads to the backend: ip route get BACKEND; weft status lists routes that are missing',
  'cluster-ip-from-outside': 'cluster addresses are for pods and nodes: use a NodePort or a LoadBalancer address',
  'not-in-source-range': "the client is in none of the service's loadBalancerSourceRanges",
  'ttl-exceeded': 'the packet has been forwarded too often: look for a routing loop',
}

function noBackend(frontend: FrontendReport): string[] {
  const { active, kept } = frontend
  if (active.length > 0) return ['its slot leads to a backend that is gone: the agent repairs that at its next audit']
  if (kept.length === 0) return ['the service has no backend: weft explain service NS/NAME says why']
  const names = kept.map(({ address, state }) => `${address ?? 'gone'} is ${state}`)
  return [`no backend may take new flows: ${names.join(', ')}`, 'weft explain service NS/NAME says why']
}

function keptAddress(maps: MapState, packet: Packet): string[] {
  const ports = maps.portsOn(packet.destination)
  const address = formatAddress(packet.destination)
  const has = ports.length === 0 ? 'none' : ports.join(', ')
  return [`${address} is kept for services and has no frontend for this port; it has ${has}`]
}

/** Why a packet is left as it is. */
export function explainStranger(
  maps: MapState,
  packet: Packet,
  frontend: FrontendReport | undefined,
  isLeft: boolean,
): string[] {
  if (isLeft) return ['XDP leaves this packet to the program at tc, as it came: try --hook ingress']
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
