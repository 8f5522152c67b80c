import type { FlowKeyFields, FlowTuple } from '../../../../agent/maps/flow.ts'
import { type Packet, TCP } from './parse.ts'
import { type Flow, flowName, type State } from './state.ts'

/** Life after the last packet, seconds. */
const LIFE = { opening: 60, established: 8000, closing: 10, other: 60 } as const

/** The tuple of the answer to a packet that left as `tuple`. */
export function turned(tuple: FlowTuple, protocol: number): FlowKeyFields {
  return {
    source: tuple.destination,
    destination: tuple.source,
    sourcePort: tuple.destinationPort,
    destinationPort: tuple.sourcePort,
    protocol,
  }
}

export function sameTuple(a: FlowTuple, b: FlowTuple): boolean {
  return (
    a.source === b.source &&
    a.destination === b.destination &&
    a.sourcePort === b.sourcePort &&
    a.destinationPort === b.destinationPort
  )
}

/** The other entry of the flow that `key` becomes `to` in, if that tuple has not gone to another flow. */
export function twinOf(state: State, key: FlowKeyFields, to: FlowTuple): Flow | undefined {
  const twin = state.flows.get(flowName(turned(to, key.protocol)))
  return twin !== undefined && sameTuple(turned(twin.to, key.protocol), key) ? twin : undefined
}

export function isClosing(flow: Flow): boolean {
  return flow.reset || (flow.finSelf && flow.finTwin)
}

export function isOver(flow: Flow, now: number): boolean {
  return now >= flow.expires
}

/** Of DSR the backend's FIN does not come by here. */
function lifetime(flow: Flow): number {
  if (flow.key.protocol !== TCP) return LIFE.other
  if (isClosing(flow)) return LIFE.closing
  if (flow.kind === 'dsr' && flow.finSelf) return LIFE.opening
  return flow.established ? LIFE.established : LIFE.opening
}

/** What a TCP packet says of its connection. */
type TcpState = Pick<Flow, 'established' | 'finSelf' | 'reset'>

function tcpAfter(flow: TcpState, packet: Packet): TcpState {
  return {
    established: flow.established || !(packet.syn || packet.rst),
    finSelf: flow.finSelf || packet.fin,
    reset: packet.rst || (flow.reset && (packet.syn || packet.fin)),
  }
}

/** An entry as its first packet makes it. */
export function freshFlow(
  init: Pick<Flow, 'key' | 'to' | 'kind' | 'serviceId' | 'backendId' | 'last'>,
  packet: Packet,
): Flow {
  const closing = { finSelf: false, finTwin: false, reset: false }
  const flow = { ...init, ...closing, created: init.last, reverse: false, tells: false, established: false, expires: 0 }
  if (init.key.protocol === TCP) Object.assign(flow, tcpAfter(flow, packet))
  flow.expires = init.last + lifetime(flow)
  return flow
}

/** The same connection from the other side. */
export function mirrored(flow: Flow): Flow {
  return {
    ...flow,
    key: turned(flow.to, flow.key.protocol),
    to: turned(flow.key, flow.key.protocol),
    reverse: !flow.reverse,
    finSelf: flow.finTwin,
    finTwin: flow.finSelf,
  }
}

/** The first packet in its second, or one that changes the connection's state. */
export function isNews(flow: Flow, packet: Packet, now: number): boolean {
  const after = flow.key.protocol === TCP ? tcpAfter(flow, packet) : flow
  const same = after.established === flow.established && after.finSelf === flow.finSelf && after.reset === flow.reset
  return !same || flow.last !== now
}

/** A SYN that starts a connection anew on an old tuple: its sender had closed. */
export function isReused(flow: Flow, packet: Packet): boolean {
  return packet.syn && (flow.finSelf || flow.reset)
}

/**
 * Bring both entries up to date. Only a packet that is the first in its second or changes the connection's state is news.
 * False: another flow has the twin's tuple.
 */
export function touch(state: State, flow: Flow, packet: Packet, now: number): boolean {
  const tcp = flow.key.protocol === TCP
  const after = tcp ? tcpAfter(flow, packet) : flow
  if (!isNews(flow, packet, now)) return true
  const wasClosing = isClosing(flow)
  flow.established = after.established
  flow.finSelf = after.finSelf
  flow.reset = after.reset
  flow.last = now
  if (!wasClosing || !isClosing(flow)) flow.expires = now + lifetime(flow)

  if (flow.kind === 'dsr') return true
  const mirror = mirrored(flow)
  const name = flowName(mirror.key)
  const held = state.flows.get(name)
  if (held === undefined) {
    state.flows.set(name, mirror)
    return true
  }
  if (!sameTuple(held.to, mirror.to)) {
    if (!flow.reverse) flow.expires = now
    return false
  }
  held.established = flow.established
  held.reset = flow.reset
  held.finSelf ||= mirror.finSelf
  held.finTwin = mirror.finTwin
  held.reverse = mirror.reverse
  held.kind = mirror.kind
  held.tells = mirror.tells
  held.expires = flow.expires
  held.last = now
  return true
}
