import { type Address, formatAddress } from '../../agent/types/address.ts'

/** An ICMP error as a host gets it. */
export interface IcmpError {
  readonly type: number
  readonly code: number
  readonly from: string
  readonly to: string
  readonly mtu: number
  /** Of the message and of both IP headers. */
  readonly checksum: 'ok' | 'wrong'
  readonly quote: {
    readonly proto: 'tcp' | 'udp' | 'icmp'
    readonly src: string
    readonly dst: string
    readonly sport: number
    readonly dport: number
  }
}

const PROTOCOLS = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
] as const)

/** Read a packet from its IP header on. Throws when it is no ICMP error. */
export function icmpOf(packet: Buffer): IcmpError {
  const ihl = headerLength(packet)
  const message = packet.subarray(ihl)
  if (packet[9] !== 1 || (message[0] !== 3 && message[0] !== 11))
    throw new Error(`no ICMP error: ${packet.toString('hex')}`)
  const quoted = message.subarray(8)
  const ports = quoted.subarray(headerLength(quoted))
  const proto = PROTOCOLS.get(quoted[9] as 1)
  if (proto === undefined) throw new Error(`protocol ${quoted[9]} is quoted`)
  const right = [packet.subarray(0, ihl), message, quoted.subarray(0, headerLength(quoted))].every(sumsToZero)
  return {
    type: message[0],
    code: message[1]!,
    from: addressAt(packet, 12),
    to: addressAt(packet, 16),
    mtu: message.readUInt16BE(6),
    checksum: right ? 'ok' : 'wrong',
    quote: {
      proto,
      src: addressAt(quoted, 12),
      dst: addressAt(quoted, 16),
      sport: ports.readUInt16BE(0),
      dport: ports.readUInt16BE(2),
    },
  }
}

function headerLength(packet: Buffer): number {
  return ((packet[0] ?? 0) & 15) * 4
}

function addressAt(packet: Buffer, offset: number): string {
  return formatAddress(packet.readUInt32BE(offset) as Address)
}

function sumsToZero(bytes: Buffer): boolean {
  let total = 0
  for (let i = 0; i < bytes.length; i += 2) total += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return total === 0xffff
}
