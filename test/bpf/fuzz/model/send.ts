import type { FlowTuple } from '../../../../agent/maps/flow.ts'
import type { Address } from '../../../../agent/types/address.ts'
import { type Arrival, dropped, type Outcome, passed, redirected, refused, untouched } from './outcome.ts'
import { fragmentName, type Packet } from './parse.ts'
import { rewritten } from './rewrite.ts'
import { type Route, route } from './route.ts'
import type { DeviceName, State } from './state.ts'

/** Where it goes on, for packets that leave by a device. */
export interface Forwarding {
  readonly to: FlowTuple
  /** Who reported an error is none of the receiver's business. */
  readonly hideReporter?: boolean
  /** Says so if the packet is too big. */
  readonly speaker: Address
}

export function remember(state: State, packet: Packet): void {
  if (packet.kind !== 'whole' || !packet.first) return
  const { source, destination, sourcePort: sport, destinationPort: dport, protocol } = packet.key
  state.fragments.set(fragmentName(source, destination, packet.id, protocol), { sport, dport })
}

/** To the stack, which routes it to the pod or socket, or lets it go on its way out. */
export function deliver(
  state: State,
  packet: Packet,
  { frame }: Arrival,
  to: FlowTuple,
  { hideReporter = false, marked = false } = {},
): Outcome {
  remember(state, packet)
  return passed(rewritten(frame, packet, { to, hop: false, hideReporter }), marked)
}

export function noHopLeft(state: State, packet: Packet, frame: Buffer): Outcome | undefined {
  if (packet.ttl > 1) return undefined
  return refused(frame, 'DROP_TTL_EXCEEDED', packet, { type: 11, code: 0, mtu: 0, from: state.settings.snat })
}

/** XDP leaves to tc what it cannot send itself. */
export function isLeft(
  state: State,
  { hook, device }: Arrival,
  way: { kind: Route['kind']; device: DeviceName },
): boolean {
  if (hook !== 'xdp') return false
  return way.kind === 'asking' || (way.device !== device && state.devices.get(way.device)?.xdp !== true)
}

/** The frame on its way to the next hop, whose hardware address the kernel asks for where it is not known. */
export function onTheWay(out: Buffer, way: Route): Outcome {
  if (way.kind === 'known') {
    way.to.copy(out, 0)
    way.from.copy(out, 6)
  }
  return redirected(out)
}

/** Out by the device that the route of the packet as it will be says. */
export function forward(
  state: State,
  packet: Packet,
  arrival: Arrival,
  { to, speaker, hideReporter }: Forwarding,
): Outcome {
  const { frame } = arrival
  const exceeded = noHopLeft(state, packet, frame)
  if (exceeded !== undefined) return exceeded
  const way = route(to.destination)
  if (way.kind === 'none') return dropped(frame, 'DROP_NO_FIB')
  if (packet.totalLength > way.mtu) {
    return refused(frame, 'DROP_FRAG_NEEDED', packet, { type: 3, code: 4, mtu: way.mtu, from: speaker })
  }
  if (isLeft(state, arrival, way)) return untouched(frame)
  remember(state, packet)
  return onTheWay(rewritten(frame, packet, { to, hop: true, hideReporter: hideReporter ?? false }), way)
}
