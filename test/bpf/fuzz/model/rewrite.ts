import type { FlowTuple } from '../../../../agent/maps/flow.ts'
import type { Address } from '../../../../agent/types/address.ts'
import { updated } from './checksum.ts'
import { ETH, ICMP, type Packet, UDP } from './parse.ts'

/** How a packet is to leave. */
export interface Leaving {
  readonly to: FlowTuple
  /** This node is a router on its way. */
  readonly hop: boolean
  /** Who reported an error is none of the receiver's business. */
  readonly hideReporter: boolean
}

/** The frame with other addresses and ports, all checksums changed by as much as they must. */
export function rewritten(frame: Buffer, packet: Packet, leaving: Leaving): Buffer {
  const out = Buffer.from(frame)
  if (packet.kind === 'error') rewriteError(frame, out, packet, leaving)
  else if (packet.kind === 'whole') rewriteTransport(out, packet, leaving.to)
  rewriteIp(frame, out, sourceAfter(packet, leaving), leaving)
  return out
}

/** A router that reports an error keeps its own address; the backend itself speaks as the service. */
export function sourceAfter(packet: Packet, leaving: Pick<Leaving, 'to' | 'hideReporter'>): Address {
  const router = packet.kind === 'error' && packet.source !== packet.key.source
  return router && !leaving.hideReporter ? packet.source : leaving.to.source
}

function rewriteIp(frame: Buffer, out: Buffer, source: Address, leaving: Leaving): void {
  out.writeUInt32BE(source, ETH + 12)
  out.writeUInt32BE(leaving.to.destination, ETH + 16)
  if (leaving.hop) out[ETH + 8] = frame[ETH + 8]! - 1
  const check = updated(frame.readUInt16BE(ETH + 10), frame.subarray(ETH, ETH + 20), out.subarray(ETH, ETH + 20))
  out.writeUInt16BE(check, ETH + 10)
}

/** Addresses and ports as one run of words, for what they change in a sum. */
function words(tuple: FlowTuple): Buffer {
  const bytes = Buffer.alloc(12)
  bytes.writeUInt32BE(tuple.source, 0)
  bytes.writeUInt32BE(tuple.destination, 4)
  bytes.writeUInt16BE(tuple.sourcePort, 8)
  bytes.writeUInt16BE(tuple.destinationPort, 10)
  return bytes
}

function rewriteTransport(out: Buffer, packet: Packet, to: FlowTuple): void {
  if (packet.protocol === ICMP) {
    const { sourcePort, destinationPort } = to
    const before = Buffer.from(out.subarray(packet.l4, packet.l4 + 8))
    out.writeUInt16BE(out[packet.l4] === 8 ? sourcePort : destinationPort, packet.l4 + 4)
    const check = updated(before.readUInt16BE(2), before, out.subarray(packet.l4, packet.l4 + 8))
    out.writeUInt16BE(check, packet.l4 + 2)
    return
  }
  rewriteCheck(out, packet.l4, packet.protocol, packet.key, to)
  out.writeUInt16BE(to.sourcePort, packet.l4)
  out.writeUInt16BE(to.destinationPort, packet.l4 + 2)
}

/** UDP: 0 says that there is none, and a sum that comes out as 0 is written as 0xffff. */
function rewriteCheck(out: Buffer, l4: number, protocol: number, from: FlowTuple, to: FlowTuple): void {
  const at = l4 + (protocol === UDP ? 6 : 16)
  const field = out.readUInt16BE(at)
  if (protocol === UDP && field === 0) return
  const check = updated(field, words(from), words(to))
  out.writeUInt16BE(protocol === UDP && check === 0 ? 0xffff : check, at)
}

/** The quote becomes the packet that the receiver of the error sent. It knew the answer's rewrite the other way round. */
function rewriteError(frame: Buffer, out: Buffer, packet: Packet, { to }: Leaving): void {
  const end = Math.min(frame.length, ETH + packet.totalLength)
  const quote = packet.l4 + 8
  const l4 = packet.quotedL4
  const { protocol } = packet.key
  out.writeUInt32BE(to.destination, quote + 12)
  out.writeUInt32BE(to.source, quote + 16)
  const ip = updated(frame.readUInt16BE(quote + 10), frame.subarray(quote, quote + 20), out.subarray(quote, quote + 20))
  out.writeUInt16BE(ip, quote + 10)
  if (protocol === ICMP) {
    const before = Buffer.from(out.subarray(l4, l4 + 8))
    out.writeUInt16BE(to.destinationPort, l4 + 4)
    out.writeUInt16BE(updated(before.readUInt16BE(2), before, out.subarray(l4, l4 + 8)), l4 + 2)
  } else {
    // A quote of 8 bytes has no checksum of TCP.
    if (end >= l4 + (protocol === UDP ? 8 : 18)) rewriteCheck(out, l4, protocol, packet.key, to)
    out.writeUInt16BE(to.destinationPort, l4)
    out.writeUInt16BE(to.sourcePort, l4 + 2)
  }
  const from = packet.l4
  const check = updated(frame.readUInt16BE(from + 2), frame.subarray(from + 4, end), out.subarray(from + 4, end))
  out.writeUInt16BE(check, from + 2)
}
