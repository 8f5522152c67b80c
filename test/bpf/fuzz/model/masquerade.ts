import type { Address } from '../../../../agent/types/address.ts'
import { createFlow, forget } from './create.ts'
import { freshFlow, isOver, mirrored, turned } from './flows.ts'
import { type Arrival, dropped, type Outcome, untouched } from './outcome.ts'
import { ICMP, type Packet } from './parse.ts'
import { addressOn } from './route.ts'
import { deliver } from './send.ts'
import { contains, type Flow, flowName, prefixOf, type State } from './state.ts'

const HOST = 1
const REMOTE_NODE = 6
const FIRST_POD = 256
/** Of names for parts of the world. */
const LOCAL_SCOPE = 1 << 24

/** Whether pods go there with their own address. */
export function exempts(state: State, address: Address): boolean {
  if (address === 0 || state.unmasqueraded.some((range) => contains(range, address))) return true
  const prefix = prefixOf(state, address)
  if (prefix === undefined) return false
  const { isNode, tunnel, identity } = prefix
  if (isNode || tunnel !== undefined || identity === HOST || identity === REMOTE_NODE) return true
  return identity >= FIRST_POD && (identity & LOCAL_SCOPE) === 0
}

/** Says by itself that it answers, flow or not. */
function isAnswer({ syn, ack, kind, key, isEchoReply }: Packet): boolean {
  return (
    (syn && ack) ||
    kind === 'error' ||
    isEchoReply ||
    (kind === 'later' && key.protocol === ICMP && key.sourcePort === 0)
  )
}

/** A pod's packet that no flow explains, with the node's address on its way out. */
export function createMasquerade(state: State, packet: Packet, arrival: Arrival, old: Flow | undefined): Outcome {
  const { frame, device, now, observed } = arrival
  const { destination, destinationPort } = packet.key
  if (isAnswer(packet) || exempts(state, destination)) return untouched(frame)
  if (packet.kind === 'later') return dropped(frame, 'DROP_FRAG_NOT_FOUND')
  forget(state, old)
  const source = addressOn(state, device)
  const wanted = { kind: 'masquerade', source, destination, destinationPort, serviceId: 0, backendId: 0 } as const
  const flow = createFlow(state, packet, wanted, now, observed)
  if (flow === undefined) return dropped(frame, 'DROP_NAT_NO_MAPPING')
  return deliver(state, packet, arrival, flow.to, { marked: true })
}

/** A client of the world that talks to a pod by the pod's own address: what the pod sends it are answers. */
export function noteDirect(state: State, packet: Packet, now: number): void {
  const { key } = packet
  const opens = packet.kind === 'whole' && key.protocol !== ICMP && !(packet.syn && packet.ack)
  if (!opens || state.endpoints.get(key.destination) !== 'pod' || exempts(state, key.source)) return
  const known = state.flows.get(flowName(turned(key, key.protocol)))
  if (known !== undefined && !isOver(known, now) && known.kind !== 'direct') return
  const flow = freshFlow({ key, to: key, kind: 'direct', serviceId: 0, backendId: 0, last: now }, packet)
  state.flows.set(flowName(key), flow)
  // Where a packet is its own answer there is one entry, for answers.
  state.flows.set(flowName(turned(key, key.protocol)), mirrored(flow))
}
