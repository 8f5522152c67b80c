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
  /** Where the transport header is that an error quotes. */
  readonly quotedL4: number
}

/**
 * What a frame is: a packet; `foreign`, which is for no service (destination 0 where it has none); `invalid`, whose headers contradict themselves or end
 * too early; `lost`, a fragment without the first one.
 */
export type Parsed =
  | Packet
  | { readonly kind: 'foreign'; readonly destination: Address }
  | { readonly kind: 'invalid' }
  | { readonly kind: 'lost'; readonly destination: Address }

const INVALID = { kind: 'invalid' } as const
const QUOTE_PORTS = 8

export function fragmentName(source: number, destination: number, id: number, protocol: number): string {
  return `${source}>${destination} ${id} ${protocol}`
}

export function parse(frame: Buffer, state: State): Parsed {
  if (frame.readUInt16BE(12) !== 0x0800) return { kind: 'foreign', destination: ANY_ADDRESS }
  if (frame.length < ETH + 20) return INVALID
  const protocol = frame[ETH + 9]!
  if (protocol !== TCP && protocol !== UDP && protocol !== ICMP) {
    return { kind: 'foreign', destination: frame.readUInt32BE(ETH + 16) as Address }
  }
  const headerBytes = (frame[ETH]! & 15) * 4
  if (frame[ETH]! >> 4 !== 4 || headerBytes < 20) return INVALID

  const source = frame.readUInt32BE(ETH + 12) as Address
  const destination = frame.readUInt32BE(ETH + 16) as Address
  const fragment = frame.readUInt16BE(ETH + 6)
  const l4 = ETH + headerBytes
  const base = {
    protocol,
    source,
    destination,
    id: frame.readUInt16BE(ETH + 4),
    l4,
    totalLength: frame.readUInt16BE(ETH + 2),
    ttl: frame[ETH + 8]!,
    first: (fragment & 0x3fff) === 0x2000,
    quotedL4: 0,
  }
  const flagless = { syn: false, ack: false, fin: false, rst: false }
  const keyed = (sourcePort: number, destinationPort: number): FlowKeyFields => ({
    source,
    destination,
    sourcePort,
    destinationPort,
    protocol,
  })

  if ((fragment & 0x1fff) !== 0) {
    const ports = state.fragments.get(fragmentName(source, destination, base.id, protocol))
    if (ports === undefined) return { kind: 'lost', destination }
    return { ...base, ...flagless, kind: 'later', key: keyed(ports.sport, ports.dport) }
  }

  const needs = protocol === TCP ? 20 : 8
  if (base.totalLength < headerBytes + needs || frame.length < l4 + needs) return INVALID
  if (protocol === ICMP) return parseIcmp(frame, { ...base, ...flagless, kind: 'whole', key: keyed(0, 0) })
  const bits = protocol === TCP ? frame[l4 + 13]! : 0
  const flags = { syn: (bits & 2) !== 0, ack: (bits & 16) !== 0, fin: (bits & 1) !== 0, rst: (bits & 4) !== 0 }
  return { ...base, ...flags, kind: 'whole', key: keyed(frame.readUInt16BE(l4), frame.readUInt16BE(l4 + 2)) }
}

function foreign({ destination }: Packet): Parsed {
  return { kind: 'foreign', destination }
}

/** An echo is known by its identifier, which stands for the asking side's port. */
function parseIcmp(frame: Buffer, packet: Packet): Parsed {
  const type = frame[packet.l4]
  const identifier = frame.readUInt16BE(packet.l4 + 4)
  if (type === 8) return { ...packet, key: { ...packet.key, sourcePort: identifier } }
  if (type === 0) return { ...packet, key: { ...packet.key, destinationPort: identifier } }
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
