import { createFlow } from './create.ts'
import { createDsr, encapsulate, follow, nodeOf, unpack } from './dsr.ts'
import { fromPod, leave } from './egress.ts'
import { isNews, isOver, isReused, touch, twinOf } from './flows.ts'
import { GENEVE_PORT } from './geneve.ts'
import { answerHere, toPod, touchHere } from './inside.ts'
import { noteDirect } from './masquerade.ts'
import { type Arrival, dropped, type Outcome, refused, untouched } from './outcome.ts'
import { isPacket, mayAsk, type Packet, parse, UDP, type Unread } from './parse.ts'
import { sourceTowards } from './route.ts'
import { admits, choose, mayChoose } from './select.ts'
import { deliver, forward } from './send.ts'
import { type Flow, flowName, isOwn, serviceName, type State } from './state.ts'

export function walk(state: State, arrival: Arrival): Outcome {
  const { hook, frame } = arrival
  if (hook === 'egress') return leave(state, arrival)
  if (hook === 'to-pod') return toPod(state, arrival)
  if (!isForUs(arrival)) return untouched(frame)
  return hook === 'pod' ? fromPod(state, arrival) : enter(state, arrival)
}

/** Frames for other stations are not ours. A driver without promiscuous mode shows XDP only its own and those for all. */
function isForUs({ frame, hook, station }: Arrival): boolean {
  return hook === 'xdp' ? (frame[0]! & 1) === 0 : frame.subarray(0, 6).equals(station)
}

/** By an uplink. */
function enter(state: State, arrival: Arrival): Outcome {
  const { frame, now } = arrival
  const packet = parse(frame, state)
  if (!isPacket(packet)) return enterUnread(state, packet, frame)
  const { destination, destinationPort, protocol } = packet.key
  // The answer to a connection that a socket of this node opened.
  const isOurs = packet.syn && packet.ack && destinationPort < state.settings.portMin && isOwn(state, destination)
  if (isOurs && state.clientsHereUntil <= now) return untouched(frame)

  if (protocol === UDP && destinationPort === GENEVE_PORT && isOwn(state, destination)) {
    return unpack(state, packet, arrival)
  }
  const flow = state.flows.get(flowName(packet.key))
  if (flow !== undefined && isInner(flow) && !isOver(flow, now)) return enterInner(state, flow, packet, arrival)
  // Answers of backends on this node do not come from outside.
  const known = flow !== undefined && !(flow.reverse && flow.kind === 'local') && stillHolds(state, flow, packet, now)
  if (known) return goOn(state, flow, packet, arrival)
  const outcome = open(state, packet, arrival, flow)
  if (outcome !== undefined) return outcome
  if (state.settings.masquerade && (flow === undefined || isOver(flow, now))) noteDirect(state, packet, now)
  return untouched(frame)
}

function enterUnread(state: State, { kind, destination }: Unread, frame: Buffer): Outcome {
  if (kind === 'invalid') return dropped(frame, 'DROP_INVALID_PACKET')
  if (destination === 0 || !isKept(state, destination)) return untouched(frame)
  return dropped(frame, kind === 'lost' ? 'DROP_FRAG_NOT_FOUND' : 'DROP_NO_SERVICE')
}

/** It began on this node, or is nobody's but a pod's. */
function isInner({ kind }: Flow): boolean {
  return kind === 'masquerade' || kind === 'inside' || kind === 'hairpin' || kind === 'direct'
}

/** What comes in from outside can only be an answer. */
function enterInner(state: State, flow: Flow, packet: Packet, arrival: Arrival): Outcome {
  const { frame, now } = arrival
  if (flow.kind === 'direct') touchHere(state, flow, packet, now)
  if (!flow.reverse || flow.kind === 'direct' || flow.kind === 'hairpin') return untouched(frame)
  if (flow.kind === 'inside') return answerHere(state, flow, packet, arrival)
  const { to } = flow
  touchHere(state, flow, packet, now)
  return deliver(state, packet, arrival, to)
}

function goOn(state: State, flow: Flow, packet: Packet, arrival: Arrival): Outcome {
  const { to, kind, reverse, tells } = flow
  if (kind === 'dsr') return encapsulate(state, packet, arrival, to, tells)
  if (kind === 'local') return deliver(state, packet, arrival, to)
  return forward(state, packet, arrival, { to, hideReporter: !reverse, speaker: packet.key.destination })
}

/** Whether a packet may go on with its flow; if so, both entries know of it. */
function stillHolds(state: State, flow: Flow, packet: Packet, now: number): boolean {
  if (isOver(flow, now)) return false
  if (packet.kind === 'error') return true
  if (!flow.reverse && (isReused(flow, packet) || !backendHolds(state, flow, packet))) return false
  if (!isNews(flow, packet, now)) return true
  if (flow.kind === 'dsr') follow(state, flow)
  // An answer goes out even if its flow has moved on.
  return touch(state, flow, packet, now) || flow.reverse
}

function backendHolds(state: State, { backendId, to }: Flow, packet: Packet): boolean {
  // Another node chose it.
  if (backendId === 0) return state.endpoints.has(to.destination)
  const backend = state.backends.get(backendId)
  const same = backend?.address === to.destination && backend.port === to.destinationPort
  if (!same || !packet.syn) return same
  const { destination, destinationPort, protocol } = packet.key
  return mayChoose(state, state.services.get(serviceName(destination, destinationPort, protocol)), backendId)
}

/** Nothing but services is at this address. */
function isKept(state: State, destination: number): boolean {
  const service = state.services.get(serviceName(destination, 0, 0))
  return service?.flags.has('WILDCARD_DROP') === true && !isOwn(state, destination as Packet['destination'])
}

/** A packet of no flow; undefined: it is for no service, and may go on. */
function open(state: State, packet: Packet, arrival: Arrival, old: Flow | undefined): Outcome | undefined {
  const { frame, now, observed } = arrival
  const { destination, destinationPort, protocol } = packet.key
  const service = mayAsk(packet) ? state.services.get(serviceName(destination, destinationPort, protocol)) : undefined
  if (service === undefined) return isKept(state, destination) ? dropped(frame, 'DROP_NO_SERVICE') : undefined
  if (!service.flags.has('ROUTABLE')) {
    return service.flags.has('CLUSTER_IP') ? dropped(frame, 'DROP_CLUSTER_IP_FROM_OUTSIDE') : undefined
  }
  if (!admits(state, service, packet.source)) return dropped(frame, 'DROP_NOT_IN_SOURCE_RANGE')
  if (packet.kind === 'later') return dropped(frame, 'DROP_FRAG_NOT_FOUND')

  const backendId = choose(state, service, packet, now, observed)
  const backend = backendId === undefined ? undefined : state.backends.get(backendId)
  if (backendId === undefined || backend === undefined) {
    if (service.flags.has('ETP_LOCAL')) return dropped(frame, 'DROP_NO_SERVICE')
    return refused(frame, 'DROP_NO_SERVICE', packet, { type: 3, code: 3, mtu: 0, from: destination })
  }
  const twin = old === undefined || old.kind === 'dsr' ? undefined : twinOf(state, old.key, old.to)
  if (twin !== undefined) state.flows.delete(flowName(twin.key))
  const here = state.endpoints.has(backend.address)
  const chosen = { serviceId: service.id, backendId, backend }
  if (!service.dsr || here) return begin(state, packet, arrival, chosen, here)
  const node = nodeOf(state, backend)
  if (node === undefined) return { ...begin(state, packet, arrival, chosen, here), noted: 'REASON_DSR_FALLBACK' }
  const flow = createDsr(state, packet, chosen, node, now)
  return encapsulate(state, packet, arrival, flow.to, true)
}

function begin(
  state: State,
  packet: Packet,
  arrival: Arrival,
  { serviceId, backendId, backend }: Parameters<typeof createDsr>[2],
  here: boolean,
): Outcome {
  const { frame, now, observed } = arrival
  const { address: destination, port: destinationPort } = backend
  const source = here ? packet.source : sourceTowards(state, destination)
  const kind = here ? 'local' : 'snat'
  const wanted = { kind, source, destination, destinationPort, serviceId, backendId } as const
  const flow = createFlow(state, packet, wanted, now, observed)
  if (flow === undefined) return dropped(frame, 'DROP_NAT_NO_MAPPING')
  if (here) return deliver(state, packet, arrival, flow.to)
  return forward(state, packet, arrival, { to: flow.to, speaker: packet.key.destination })
}
