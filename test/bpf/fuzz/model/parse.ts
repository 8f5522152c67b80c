import type { FlowKeyFields } from '../../../../agent/maps/flow.ts'
import { type Address, ANY_ADDRESS } from '../../../../agent/types/address.ts'
import type { State } from './state.ts'

export const ETH = 14
export const ICMP = 1
export const TCP = 6
export const UDP = 17

/** A packet that may belong to a service. Offsets count from the start of the frame. */
export interface Packet {
  /** A later fragment has no transport header; an error has one in its quote as well. */
  readonly kind: 'whole' | 'later' | 'error'
  /** As flows know it. An error: what an answer to the quoted packet would be. */
  readonly key: FlowKeyFields
  readonly protocol: number
  readonly source: Address
  readonly destination: Address
  readonly id: number
  readonly l4: number
  readonly totalLength: number
  readonly ttl: number
  readonly first: boolean
  readonly syn: boolean
  readonly ack: boolean
  readonly fin: boolean
  readonly rst: boolean
  readonly isEchoReply: boolean
  /** Where the transport header is that an error quotes. */
  readonly quotedL4: number
}

/**
 * What no flow can have: `foreign`, which is for no service; `invalid`, whose headers contradict themselves or end too early;
 * `lost`, a fragment without the first one. Addresses are 0 where there are none.
 */
export interface Unread {
  readonly kind: 'foreign' | 'invalid' | 'lost'
  readonly source: Address
  readonly destination: Address
}

export type Parsed = Packet | Unread

const QUOTE_PORTS = 8

export function fragmentName(source: number, destination: number, id: number, protocol: number): string {
  return `${source}>${destination} ${id} ${protocol}`
}

export function isPacket(parsed: Parsed): parsed is Packet {
  return parsed.kind === 'whole' || parsed.kind === 'later' || parsed.kind === 'error'
}

/** Whether it may ask a service: no ping, no error, no answer, and nobody at 0.0.0.0. */
export function mayAsk({ kind, key, syn, ack }: Packet): boolean {
  return kind !== 'error' && key.protocol !== ICMP && !(syn && ack) && key.source !== ANY_ADDRESS
}

export function parse(frame: Buffer, state: State): Parsed {
  const nobody = { source: ANY_ADDRESS, destination: ANY_ADDRESS }
  if (frame.readUInt16BE(12) !== 0x0800) return { kind: 'foreign', ...nobody }
  if (frame.length < ETH + 20) return { kind: 'invalid', ...nobody }
  const protocol = frame[ETH + 9]!
  const source = frame.readUInt32BE(ETH + 12) as Address
  const destination = frame.readUInt32BE(ETH + 16) as Address
  if (protocol !== TCP && protocol !== UDP && protocol !== ICMP) return { kind: 'foreign', source, destination }
  const invalid = { kind: 'invalid', source, destination } as const
  const headerBytes = (frame[ETH]! & 15) * 4
  const totalLength = frame.readUInt16BE(ETH + 2)
  if (frame[ETH]! >> 4 !== 4 || headerBytes < 20) return invalid
  if (totalLength < headerBytes || totalLength > frame.length - ETH) return invalid

  const fragment = frame.readUInt16BE(ETH + 6)
  const l4 = ETH + headerBytes
  const flagless = { syn: false, ack: false, fin: false, rst: false, isEchoReply: false }
  const base = {
    ...flagless,
    protocol,
    source,
    destination,
    id: frame.readUInt16BE(ETH + 4),
    l4,
    totalLength,
    ttl: frame[ETH + 8]!,
    first: (fragment & 0x3fff) === 0x2000,
    quotedL4: 0,
  }
  const keyed = (sourcePort: number, destinationPort: number): FlowKeyFields => ({
    source,
    destination,
    sourcePort,
    destinationPort,
    protocol,
  })

  if ((fragment & 0x1fff) !== 0) {
    const ports = state.fragments.get(fragmentName(source, destination, base.id, protocol))
    if (ports === undefined) return { kind: 'lost', source, destination }
    return { ...base, kind: 'later', key: keyed(ports.sport, ports.dport) }
  }

  const needs = protocol === TCP ? 20 : 8
  const room = totalLength - headerBytes
  if (room < needs || liesAboutLength(frame, base, room)) return invalid
  if (protocol === ICMP) return parseIcmp(frame, { ...base, kind: 'whole', key: keyed(0, 0) })
  const bits = protocol === TCP ? frame[l4 + 13]! : 0
  const flags = { syn: (bits & 2) !== 0, ack: (bits & 16) !== 0, fin: (bits & 1) !== 0, rst: (bits & 4) !== 0 }
  return { ...base, ...flags, kind: 'whole', key: keyed(frame.readUInt16BE(l4), frame.readUInt16BE(l4 + 2)) }
}

/** A datagram or a TCP header that is longer than what there is, or shorter than itself. */
function liesAboutLength(frame: Buffer, { protocol, l4, first }: Omit<Packet, 'kind' | 'key'>, room: number): boolean {
  if (protocol === ICMP) return false
  const [length, least] = protocol === TCP ? [(frame[l4 + 12]! >> 4) * 4, 20] : [frame.readUInt16BE(l4 + 4), 8]
  return length < least || (length > room && !first)
}

function foreign({ source, destination }: Packet): Parsed {
  return { kind: 'foreign', source, destination }
}

/** An echo is known by its identifier, which stands for the asking side's port. */
function parseIcmp(frame: Buffer, packet: Packet): Parsed {
  const type = frame[packet.l4]
  const identifier = frame.readUInt16BE(packet.l4 + 4)
  if (type === 8) return { ...packet, key: { ...packet.key, sourcePort: identifier } }
  if (type === 0) return { ...packet, isEchoReply: true, key: { ...packet.key, destinationPort: identifier } }
  if ((type !== 3 && type !== 11) || packet.first) return foreign(packet)
  return parseQuote(frame, packet)
}

/** An error counts if it quotes, ports included, what its receiver sent. */
function parseQuote(frame: Buffer, packet: Packet): Parsed {
  const end = Math.min(frame.length, ETH + packet.totalLength)
  const quote = packet.l4 + 8
  if (end < quote + 20) return foreign(packet)
  const protocol = frame[quote + 9]!
  const headerBytes = (frame[quote]! & 15) * 4
  const quotedL4 = quote + headerBytes
  if (frame[quote]! >> 4 !== 4 || headerBytes < 20 || end < quotedL4 + QUOTE_PORTS) return foreign(packet)
  const sender = frame.readUInt32BE(quote + 12)
  if (sender !== packet.destination || (frame.readUInt16BE(quote + 6) & 0x1fff) !== 0) return foreign(packet)

  const ends = { source: frame.readUInt32BE(quote + 16) as Address, destination: sender as Address, protocol }
  if (protocol === ICMP) {
    if (frame[quotedL4] !== 8) return foreign(packet)
    const identifier = frame.readUInt16BE(quotedL4 + 4)
    return { ...packet, kind: 'error', quotedL4, key: { ...ends, sourcePort: 0, destinationPort: identifier } }
  }
  if (protocol !== TCP && protocol !== UDP) return foreign(packet)
  const sourcePort = frame.readUInt16BE(quotedL4 + 2)
  const destinationPort = frame.readUInt16BE(quotedL4)
  return { ...packet, kind: 'error', quotedL4, key: { ...ends, sourcePort, destinationPort } }
}
