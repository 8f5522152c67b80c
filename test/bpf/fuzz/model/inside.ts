import { type Address, parseAddress } from '../../../../agent/types/address.ts'
import type { FlowTuple } from '../../../../agent/maps/flow.ts'
import { createFlow, forget, standing } from './create.ts'
import { isNews, isOver, isReused, touch } from './flows.ts'
import { type Arrival, dropped, type Outcome, redirected, refused, untouched } from './outcome.ts'
import { isPacket, mayAsk, type Packet, parse } from './parse.ts'
import { rewritten } from './rewrite.ts'
import { deliver, remember } from './send.ts'
import { choose, mayChoose } from './select.ts'
import { type Flow, type Service, serviceName, type State } from './state.ts'

/** Where a pod that is its own backend sees its own requests come from. */
export const HAIRPIN: Address = parseAddress('169.254.42.1')!

/** Up to date with a packet, unless that is an error: those are no sign of life. */
export function touchHere(state: State, flow: Flow, packet: Packet, now: number): boolean {
  if (packet.kind === 'error' || !isNews(flow, packet, now)) return true
  if (!touch(state, flow, packet, now)) return false
  if (flow.kind === 'inside') expectClients(state, flow.expires)
  return true
}

function expectClients(state: State, until: number): void {
  state.clientsHereUntil = Math.max(state.clientsHereUntil, until)
}

/** Answers to the node itself go up the stack; those to a pod are translated as they leave by its device. */
export function answerHere(state: State, flow: Flow, packet: Packet, arrival: Arrival): Outcome {
  if (state.endpoints.get(flow.to.destination) !== 'node') return untouched(arrival.frame)
  const { to } = flow
  touchHere(state, flow, packet, arrival.now)
  return deliver(state, packet, arrival, to)
}

/** As clients here see it. An external address is believed only where it is the node's own. */
function serviceInside(state: State, packet: Packet): Service | undefined {
  const { destination, destinationPort, protocol } = packet.key
  const service = state.services.get(serviceName(destination, destinationPort, protocol))
  if (service === undefined || service.flags.has('HOSTPORT_LOOPBACK')) return undefined
  if (service.flags.has('EXT_IP') && state.endpoints.get(destination) !== 'node') return undefined
  if (!service.flags.has('TWO_SCOPES')) return service
  return state.services.get(serviceName(destination, destinationPort, protocol, 'inside')) ?? service
}

/** Where a packet of a client here goes on; or why it does not; undefined: it is for no service. */
export type Found = FlowTuple | Outcome | undefined

export function isRefusal(found: FlowTuple | Outcome): found is Outcome {
  return 'verdict' in found
}

export function find(state: State, packet: Packet, arrival: Arrival, flow: Flow | undefined): Found {
  if (flow === undefined || !holds(state, flow, packet, arrival.now)) return begin(state, packet, arrival, flow)
  return flow.to
}

function holds(state: State, flow: Flow, packet: Packet, now: number): boolean {
  if (isOver(flow, now)) return false
  if (packet.kind === 'error') return true
  if (isReused(flow, packet)) return false
  const backend = state.backends.get(flow.backendId)
  const same = backend?.address === flow.to.destination && backend.port === flow.to.destinationPort
  if (!same || (packet.syn && !mayChoose(state, serviceInside(state, packet), flow.backendId))) return false
  return touchHere(state, flow, packet, now)
}

function begin(state: State, packet: Packet, { frame, now, observed }: Arrival, old: Flow | undefined): Found {
  if (!mayAsk(packet)) return undefined
  const service = serviceInside(state, packet)
  if (service === undefined) return undefined
  if (packet.kind === 'later') return dropped(frame, 'DROP_FRAG_NOT_FOUND')
  const backendId = choose(state, service, packet, now, observed)
  const backend = backendId === undefined ? undefined : state.backends.get(backendId)
  if (backendId === undefined || backend === undefined) return noBackend(service, packet, frame)
  forget(state, old)
  const { key } = packet
  const itself = backend.address === key.source
  const flow = createFlow(
    state,
    packet,
    {
      kind: itself ? 'hairpin' : 'inside',
      source: itself ? HAIRPIN : key.source,
      destination: backend.address,
      destinationPort: backend.port,
      serviceId: service.id,
      backendId,
    },
    now,
    observed,
  )
  if (flow === undefined) return dropped(frame, 'DROP_NAT_NO_MAPPING')
  if (!itself) expectClients(state, flow.expires)
  return flow.to
}

/** Silence where a policy leaves others out. */
function noBackend({ flags }: Service, packet: Packet, frame: Buffer): Outcome {
  const inner = flags.has('TWO_SCOPES') || flags.has('CLUSTER_IP')
  if (flags.has(inner ? 'ITP_LOCAL' : 'ETP_LOCAL')) return dropped(frame, 'DROP_NO_SERVICE')
  return refused(frame, 'DROP_NO_SERVICE', packet, { type: 3, code: 3, mtu: 0, from: packet.key.destination })
}

/** Back to the pod that it came from. */
export function hairpin(state: State, packet: Packet, { frame }: Arrival, to: FlowTuple): Outcome {
  remember(state, packet)
  const out = rewritten(frame, packet, { to, hop: false, hideReporter: false })
  frame.copy(out, 0, 6, 12)
  frame.copy(out, 6, 0, 6)
  return redirected(out)
}

/** What a pod gets. Where nobody here asks services by packets, nothing is looked at. */
export function toPod(state: State, arrival: Arrival): Outcome {
  const { frame, now } = arrival
  if (state.clientsHereUntil <= now) return untouched(frame)
  const packet = parse(frame, state)
  if (!isPacket(packet)) return untouched(frame)
  const flow = standing(state, packet, now)
  if (flow === undefined || flow.kind !== 'inside' || !flow.reverse) return untouched(frame)
  const { to } = flow
  touchHere(state, flow, packet, now)
  return deliver(state, packet, arrival, to)
}
