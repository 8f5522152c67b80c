import type { FlowTuple } from '../../../../agent/maps/flow.ts'
import { standing } from './create.ts'
import { isReused, touch } from './flows.ts'
import { GENEVE_PORT } from './geneve.ts'
import { answerHere, find, HAIRPIN, hairpin, isRefusal, touchHere } from './inside.ts'
import { createMasquerade, exempts } from './masquerade.ts'
import { type Arrival, dropped, type Outcome, passed, untouched } from './outcome.ts'
import { isPacket, type Packet, parse, UDP, type Unread } from './parse.ts'
import { addressOn } from './route.ts'
import { deliver, forward } from './send.ts'
import { type Flow, flowName, type State } from './state.ts'

/** Of a backend here to a client outside: a SYN is none. */
function isReply(flow: Flow, packet: Packet): boolean {
  return flow.kind === 'local' && flow.reverse && !(packet.syn && !packet.ack)
}

/** What leaves by an uplink, routed already. */
export function leave(state: State, arrival: Arrival): Outcome {
  const { frame, now } = arrival
  const packet = parse(frame, state)
  if (!isPacket(packet)) return leaveUnread(state, packet, frame)
  const flow = standing(state, packet, now)
  if (flow === undefined) return leaveAnew(state, packet, arrival, state.flows.get(flowName(packet.key)))
  const { to } = flow
  if (isReply(flow, packet)) {
    if (packet.kind !== 'error') touch(state, flow, packet, now)
    return deliver(state, packet, arrival, to)
  }
  if (flow.kind === 'direct' && touchHere(state, flow, packet, now)) return untouched(frame)
  if (flow.kind === 'masquerade' && staysMasqueraded(state, flow, packet, arrival)) {
    return deliver(state, packet, arrival, to, { marked: true })
  }
  // Another one's flow: its answers would be taken away.
  if (flow.kind !== 'direct' && flow.kind !== 'masquerade' && flow.kind !== 'inside') return untouched(frame)
  return leaveAnew(state, packet, arrival, flow)
}

/** The device may have another address since. */
function staysMasqueraded(state: State, flow: Flow, packet: Packet, { now, device }: Arrival): boolean {
  if (!state.settings.masquerade || isReused(flow, packet)) return false
  if (flow.last !== now && flow.to.source !== addressOn(state, device)) return false
  return touchHere(state, flow, packet, now)
}

/** What cannot be translated must not leave with an address that means nothing where it goes. */
function leaveUnread(state: State, { kind, source, destination }: Unread, frame: Buffer): Outcome {
  const wanted = state.settings.masquerade && state.endpoints.get(source) === 'pod' && !exempts(state, destination)
  if (!wanted) return untouched(frame)
  const reasons = {
    invalid: 'DROP_INVALID_PACKET',
    lost: 'DROP_FRAG_NOT_FOUND',
    foreign: 'DROP_NAT_UNSUPPORTED_PROTO',
  } as const
  return dropped(frame, reasons[kind])
}

/** A packet of the node itself towards a service, or of a pod towards the world. */
function leaveAnew(state: State, packet: Packet, arrival: Arrival, old: Flow | undefined): Outcome {
  const { frame } = arrival
  const sender = state.endpoints.get(packet.key.source)
  if (sender === 'pod' && state.settings.masquerade) return createMasquerade(state, packet, arrival, old)
  if (sender !== 'node') return untouched(frame)
  const found = find(state, packet, arrival, old)
  if (found === undefined) return untouched(frame)
  if (isRefusal(found)) return found
  return forward(state, packet, arrival, { to: found, speaker: packet.key.destination })
}

/** What a pod sends. */
export function fromPod(state: State, arrival: Arrival): Outcome {
  const { frame, now } = arrival
  const packet = parse(frame, state)
  if (!isPacket(packet)) return untouched(frame)
  const { key } = packet
  const live = standing(state, packet, now)
  if (live !== undefined && isReply(live, packet)) return reply(state, live, packet, arrival)
  if (key.protocol === UDP && key.destinationPort === GENEVE_PORT && packet.kind !== 'error') {
    return dropped(frame, 'DROP_ENCAP_PROHIBITED')
  }
  if (live !== undefined) {
    const { to } = live
    if (live.kind === 'inside' && live.reverse) return answerHere(state, live, packet, arrival)
    if (live.kind === 'hairpin' && live.reverse) {
      touchHere(state, live, packet, now)
      return hairpin(state, packet, arrival, to)
    }
    if (live.kind !== 'inside' && live.kind !== 'hairpin') return untouched(frame)
  }
  const found = find(state, packet, arrival, state.flows.get(flowName(key)))
  if (found === undefined) return untouched(frame)
  return isRefusal(found) ? found : ask(state, packet, arrival, found)
}

/** The stack routes it to the backend, here or elsewhere. */
function ask(state: State, packet: Packet, arrival: Arrival, to: FlowTuple): Outcome {
  return to.source === HAIRPIN ? hairpin(state, packet, arrival, to) : deliver(state, packet, arrival, to)
}

/** Straight to the client. Where no route leads the stack may know better. */
function reply(state: State, flow: Flow, packet: Packet, arrival: Arrival): Outcome {
  const { to } = flow
  if (packet.kind !== 'error') touch(state, flow, packet, arrival.now)
  const outcome = forward(state, packet, arrival, { to, speaker: state.settings.snat })
  return outcome.counted === 'DROP_NO_FIB' ? passed(arrival.frame) : outcome
}
