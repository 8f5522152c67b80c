import type { FlowTuple } from '../../../../agent/maps/flow.ts'
import { createFlow, type Observed } from './create.ts'
import { isOver, touch, twinOf } from './flows.ts'
import { dropped, type Hook, type Outcome, refused, sent, untouched } from './outcome.ts'
import { fragmentName, ICMP, type Packet, parse, UDP } from './parse.ts'
import { rewritten } from './rewrite.ts'
import { MTU, route } from './route.ts'
import { admits, choose } from './select.ts'
import { type Flow, flowName, type State, serviceName } from './state.ts'

const REROUTED = 'REASON_FORWARDED'
const GENEVE = 6081

/** One frame at one hook. Addresses of devices, by which a frame is known to be for this node. */
export interface Arrival {
  readonly frame: Buffer
  readonly hook: Hook
  readonly station: Buffer
  readonly now: number
  readonly observed: Observed
}

export function walk(state: State, arrival: Arrival): Outcome {
  return arrival.hook === 'egress' || arrival.hook === 'pod' ? answer(state, arrival) : ingress(state, arrival)
}

/** Frames for other stations are not ours. A driver without promiscuous mode shows XDP only its own and those for all. */
function isForUs({ frame, hook, station }: Arrival): boolean {
  if (hook === 'egress') return true
  return hook === 'xdp' ? (frame[0]! & 1) === 0 : frame.subarray(0, 6).equals(station)
}

function ingress(state: State, arrival: Arrival): Outcome {
  const { frame, now } = arrival
  if (!isForUs(arrival)) return untouched(frame)
  const packet = parse(frame, state)
  if (packet.kind === 'foreign') {
    const kept = packet.destination !== 0 && isKept(state, packet.destination)
    return kept ? dropped(frame, 'DROP_NO_SERVICE') : untouched(frame)
  }
  if (packet.kind === 'invalid') return dropped(frame, 'DROP_INVALID_PACKET')
  if (packet.kind === 'lost')
    return isKept(state, packet.destination) ? dropped(frame, 'DROP_FRAG_NOT_FOUND') : untouched(frame)
  const { destination, destinationPort } = packet.key
  const answers = packet.syn && packet.ack
  if (answers && destination === state.settings.snat && destinationPort < state.settings.portMin)
    return untouched(frame)

  if (isEncapsulated(packet) && destination === state.settings.snat) return encapsulated(packet, arrival)
  const flow = state.flows.get(flowName(packet.key))
  // Answers of backends on this node do not come from outside.
  const holds = flow !== undefined && !(flow.reverse && flow.here) && stillHolds(state, flow, packet, now)
  if (!holds) return opening(state, packet, arrival, flow)
  const hideReporter = !flow.reverse && !flow.here
  if (flow.here) return deliver(state, packet, arrival, flow.to, hideReporter)
  return forward(
    state,
    packet,
    arrival,
    flow.to,
    hideReporter,
    flow.reverse ? state.settings.snat : packet.key.destination,
  )
}

function isEncapsulated({ key }: Packet): boolean {
  return key.protocol === UDP && key.destinationPort === GENEVE
}

/** Only nodes may encapsulate, and this one knows of none. XDP leaves it to tc. */
function encapsulated(packet: Packet, { frame, hook }: Arrival): Outcome {
  if (hook === 'xdp') return untouched(frame)
  return packet.kind === 'whole' && !packet.first ? dropped(frame, 'DROP_BAD_SOURCE') : sent('pass', frame)
}

/** Whether a packet may go on with its flow; if so, both entries know of it. */
function stillHolds(state: State, flow: Flow, packet: Packet, now: number): boolean {
  if (isOver(flow, now)) return false
  if (packet.kind === 'error') return true
  if (flow.reverse) {
    touch(state, flow, packet, now)
    return true
  }
  if (packet.syn && (flow.finSelf || flow.reset)) return false
  const backend = state.backends.get(flow.backendId)
  const same = backend?.address === flow.to.destination && backend.port === flow.to.destinationPort
  if (!same || (packet.syn && !backend.active)) return false
  return touch(state, flow, packet, now)
}

/** Nothing but services is at this address. */
function isKept(state: State, destination: number): boolean {
  return (
    destination !== state.settings.snat &&
    state.services.get(serviceName(destination, 0, 0))?.flags.has('WILDCARD_DROP') === true
  )
}

function opening(state: State, packet: Packet, arrival: Arrival, old: Flow | undefined): Outcome {
  const { frame, now, observed } = arrival
  const { destination, destinationPort, protocol } = packet.key
  const opens = packet.kind !== 'error' && protocol !== ICMP && !(packet.syn && packet.ack)
  const service = opens ? state.services.get(serviceName(destination, destinationPort, protocol)) : undefined
  if (service === undefined) return isKept(state, destination) ? dropped(frame, 'DROP_NO_SERVICE') : untouched(frame)
  if (!service.flags.has('ROUTABLE')) {
    return service.flags.has('CLUSTER_IP') ? dropped(frame, 'DROP_CLUSTER_IP_FROM_OUTSIDE') : untouched(frame)
  }
  if (!admits(state, service, packet.source)) return dropped(frame, 'DROP_NOT_IN_SOURCE_RANGE')
  if (packet.kind === 'later') return dropped(frame, 'DROP_FRAG_NOT_FOUND')

  const backendId = choose(state, service, packet, now, observed)
  const backend = backendId === undefined ? undefined : state.backends.get(backendId)
  if (backendId === undefined || backend === undefined) {
    if (service.flags.has('ETP_LOCAL')) return dropped(frame, 'DROP_NO_SERVICE')
    return refused(frame, 'DROP_NO_SERVICE', packet, { type: 3, code: 3, mtu: 0, from: destination })
  }
  const twin = old === undefined ? undefined : twinOf(state, old.key, old.to)
  if (twin !== undefined) state.flows.delete(flowName(twin.key))
  const here = state.endpoints.has(backend.address)
  const flow = createFlow(state, packet, { serviceId: service.id, backendId, backend, here }, now, observed)
  if (flow === undefined) return dropped(frame, 'DROP_NAT_NO_MAPPING')
  if (here) return deliver(state, packet, arrival, flow.to, false)
  return forward(state, packet, arrival, flow.to, false, destination)
}

function remember(state: State, packet: Packet): void {
  if (packet.kind !== 'whole' || !packet.first) return
  const { source, destination, sourcePort: sport, destinationPort: dport, protocol } = packet.key
  state.fragments.set(fragmentName(source, destination, packet.id, protocol), { sport, dport })
}

/** To the stack, which routes it to the pod or socket. */
function deliver(state: State, packet: Packet, arrival: Arrival, to: FlowTuple, hideReporter: boolean): Outcome {
  remember(state, packet)
  return sent('pass', rewritten(arrival.frame, packet, { to, hop: false, hideReporter }))
}

/** Out by the device that the route of the packet as it will be says. `speaker`: who says so if it is too big. */
function forward(
  state: State,
  packet: Packet,
  { frame, hook }: Arrival,
  to: FlowTuple,
  hideReporter: boolean,
  speaker: number,
): Outcome {
  if (packet.ttl <= 1) {
    return refused(frame, 'DROP_TTL_EXCEEDED', packet, { type: 11, code: 0, mtu: 0, from: state.settings.snat })
  }
  const way = route(to.destination)
  if (way.kind === 'none') return dropped(frame, 'DROP_NO_FIB')
  if (packet.totalLength > MTU) {
    return refused(frame, 'DROP_FRAG_NEEDED', packet, { type: 3, code: 4, mtu: MTU, from: speaker })
  }
  // XDP leaves to tc what it cannot send itself.
  if (hook === 'xdp' && (way.kind === 'asking' || way.device !== 'up0')) return untouched(frame)
  remember(state, packet)
  const out = rewritten(frame, packet, { to, hop: true, hideReporter })
  if (way.kind === 'known') {
    way.to.copy(out, 0)
    way.from.copy(out, 6)
  }
  return sent('redirect', out)
}

/** The flow of an answer. One that its answering side closed is forgotten when that side accepts another connection. */
function standing(state: State, packet: Packet, now: number): Flow | undefined {
  const flow = state.flows.get(flowName(packet.key))
  if (flow === undefined || isOver(flow, now)) return undefined
  const left = packet.syn && packet.ack && flow.reverse && (flow.finSelf || flow.reset)
  if (!left) return flow
  for (const entry of [twinOf(state, flow.key, flow.to), flow])
    if (entry !== undefined) state.flows.delete(flowName(entry.key))
  return undefined
}

/** A packet of a backend on this node, on its way out of the uplink or straight from the pod. */
function answer(state: State, arrival: Arrival): Outcome {
  const { frame, hook, now } = arrival
  if (!isForUs(arrival)) return untouched(frame)
  const packet = parse(frame, state)
  const through = packet.kind === 'foreign' || packet.kind === 'invalid' || packet.kind === 'lost'
  if (through || (packet.syn && !packet.ack)) return untouched(frame)
  const flow = standing(state, packet, now)
  if (flow === undefined || !flow.reverse || !flow.here) {
    const forbidden = hook === 'pod' && isEncapsulated(packet) && packet.kind !== 'error'
    return forbidden ? dropped(frame, 'DROP_ENCAP_PROHIBITED') : untouched(frame)
  }
  if (packet.kind !== 'error') touch(state, flow, packet, now)
  if (hook === 'egress') return deliver(state, packet, arrival, flow.to, false)
  const outcome = forward(state, packet, arrival, flow.to, false, state.settings.snat)
  // Where no route leads the stack may know better.
  return outcome.counted === 'DROP_NO_FIB' ? { verdict: 'pass', frame, counted: REROUTED } : outcome
}
