import type { FlowKeyFields } from '../../../../agent/maps/flow.ts'
import type { Address } from '../../../../agent/types/address.ts'
import { addPair } from './create.ts'
import { freshFlow, isClosing, isNews, isOver, isReused, mirrored, sameTuple, touch, turned, twinOf } from './flows.ts'
import { roomFor, type Told, unwrapped, wrapped } from './geneve.ts'
import { type Arrival, dropped, type Outcome, passed, refused, untouched } from './outcome.ts'
import { ETH, isPacket, type Packet, parse, TCP, UDP } from './parse.ts'
import { rewritten } from './rewrite.ts'
import { addressOn, route } from './route.ts'
import { isLeft, noHopLeft, onTheWay, remember } from './send.ts'
import { type Backend, type Flow, flowName, prefixOf, serviceName, type State } from './state.ts'

/** The node that a backend is on, if it takes packets for it. */
export function nodeOf(state: State, backend: Backend): Address | undefined {
  const prefix = prefixOf(state, backend.address)
  const node = prefix?.isNode === true ? backend.address : prefix?.tunnel
  if (node === undefined) return undefined
  const known = prefixOf(state, node)
  return known !== undefined && known.isNode && known.takesDsr ? node : undefined
}

/** One entry: no answer comes this way. A flow that begins in the middle was another node's, and tells with every packet. */
export function createDsr(
  state: State,
  packet: Packet,
  { serviceId, backendId, backend }: { serviceId: number; backendId: number; backend: Backend },
  node: Address,
  now: number,
): Flow {
  const { key } = packet
  const to = { ...key, source: node, destination: backend.address, destinationPort: backend.port }
  const flow = freshFlow({ key, to, kind: 'dsr', serviceId, backendId, last: now }, packet)
  flow.tells = key.protocol === TCP && !(packet.syn && !packet.ack)
  state.flows.set(flowName(key), flow)
  return flow
}

/** Addresses may move to another node. */
export function follow(state: State, flow: Flow): void {
  const backend = state.backends.get(flow.backendId)
  const node = backend === undefined ? undefined : nodeOf(state, backend)
  if (node !== undefined) flow.to = { ...flow.to, source: node }
}

/** On to the backend's node. `tells`: also where a packet of TCP opens nothing. */
export function encapsulate(state: State, packet: Packet, arrival: Arrival, to: Flow['to'], tells: boolean): Outcome {
  const { frame } = arrival
  const { key, kind } = packet
  const exceeded = noHopLeft(state, packet, frame)
  if (exceeded !== undefined) return exceeded
  const opens = packet.syn && !packet.ack
  const tell = kind === 'whole' && (key.protocol !== TCP || opens || tells || state.settings.tellAlways)
  const way = route(to.source)
  if (way.kind === 'none') return dropped(frame, 'DROP_NO_FIB')
  if (packet.totalLength + roomFor(tell) > way.mtu) {
    const complaint = { type: 3, code: 4, mtu: way.mtu - roomFor(true), from: key.destination }
    return refused(frame, 'DROP_FRAG_NEEDED', packet, complaint)
  }
  if (isLeft(state, arrival, way)) return untouched(frame)
  remember(state, packet)
  const inner = rewritten(frame, packet, { to: { ...to, source: key.source }, hop: true, hideReporter: false })
  const told = tell ? { address: key.destination, port: key.destinationPort } : undefined
  return onTheWay(wrapped(inner, packet, addressOn(state, way.device), to.source, told), way)
}

/** From another node, for a backend here. XDP leaves it to tc. */
export function unpack(state: State, packet: Packet, { frame, hook, now }: Arrival): Outcome {
  if (hook === 'xdp') return untouched(frame)
  if (packet.kind !== 'whole' || packet.first) return passed(frame)
  // Who may say where an answer is to come from must be one of us.
  if (prefixOf(state, packet.source)?.isNode !== true) return dropped(frame, 'DROP_BAD_SOURCE')
  const carried = unwrapped(frame, packet)
  if (carried === 'foreign') return passed(frame)
  if (carried === 'invalid') return dropped(frame, 'DROP_INVALID_PACKET')
  const out = Buffer.concat([frame.subarray(0, ETH), frame.subarray(ETH + carried.room)])
  const inner = parse(out, state)
  if (inner.kind === 'invalid') return dropped(out, 'DROP_INVALID_PACKET')
  if (!state.endpoints.has(inner.destination)) return dropped(out, 'DROP_HOST_UNREACHABLE')
  if (!isPacket(inner) || inner.kind !== 'whole' || (inner.protocol !== TCP && inner.protocol !== UDP))
    return passed(out)
  if (carried.told === undefined) known(state, inner, now)
  else if (!learn(state, inner, carried.told, now)) return dropped(out, 'DROP_NAT_NO_MAPPING')
  return passed(out)
}

/**
 * The flow that the client's packet would have made here. False: another service's lives between the same ports, and packets that
 * do not tell could not be told apart.
 */
function learn(state: State, packet: Packet, told: Told, now: number): boolean {
  const { key } = packet
  const asked: FlowKeyFields = { ...key, destination: told.address, destinationPort: told.port }
  const old = state.flows.get(flowName(asked))
  const goesOn =
    old !== undefined && !isOver(old, now) && old.kind === 'local' && !old.reverse && sameTuple(old.to, key)
  if (goesOn && !isReused(old, packet)) {
    if (touch(state, old, packet, now)) return true
  } else if (old !== undefined && old.kind !== 'dsr') {
    const twin = twinOf(state, old.key, old.to)
    if (twin !== undefined) state.flows.delete(flowName(twin.key))
  }
  const held = state.flows.get(flowName(turned(key, key.protocol)))
  const isOurs = held !== undefined && sameTuple(turned(held.to, key.protocol), asked)
  if (held !== undefined && !isOurs && !isOver(held, now) && !isClosing(held)) return false
  const serviceId = state.services.get(serviceName(told.address, told.port, key.protocol))?.id ?? 0
  addPair(state, freshFlow({ key: asked, to: key, kind: 'local', serviceId, backendId: 0, last: now }, packet))
  return true
}

/** A packet that does not tell: the flow is known by the answers to it, or not at all. */
function known(state: State, packet: Packet, now: number): void {
  const answer = state.flows.get(flowName(turned(packet.key, packet.key.protocol)))
  if (answer === undefined || !answer.reverse || answer.kind !== 'local' || isOver(answer, now)) return
  const asked = mirrored(answer)
  const flow = state.flows.get(flowName(asked.key))
  if (flow === undefined) state.flows.set(flowName(asked.key), { ...asked, last: now })
  else if (isNews(flow, packet, now)) touch(state, flow, packet, now)
}
