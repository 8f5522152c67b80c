import type { Address } from '../../types/address.ts'

/** A packet to try, and the one that a program makes of it. */
export interface Packet {
  readonly protocol: number
  readonly source: Address
  readonly destination: Address
  readonly sourcePort: number
  readonly destinationPort: number
}

const ETHERNET = 14
const IP = 20
const TCP = 6
const UDP = 17
const ICMP = 1
/** Locally administered: no device has it. */
const STRANGER = '02:00:00:00:fe:01'

export const TCP_FLAGS: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32 }

/** An Ethernet frame for the device with `mac`, with right checksums and no payload. */
export function buildFrame(packet: Packet, mac: string, flags: number): Buffer {
  const l4 = packet.protocol === TCP ? tcp(packet, flags) : packet.protocol === UDP ? udp(packet) : echo(packet)
  const frame = Buffer.alloc(ETHERNET + IP + l4.length)
  Buffer.from(mac.replaceAll(':', ''), 'hex').copy(frame, 0)
  Buffer.from(STRANGER.replaceAll(':', ''), 'hex').copy(frame, 6)
  frame.writeUInt16BE(0x0800, 12)
  const ip = frame.subarray(ETHERNET)
  ip[0] = 0x45
  ip.writeUInt16BE(IP + l4.length, 2)
  ip.writeUInt16BE(0x4000, 6)
  ip[8] = 64
  ip[9] = packet.protocol
  ip.writeUInt32BE(packet.source, 12)
  ip.writeUInt32BE(packet.destination, 16)
  ip.writeUInt16BE(checksum(ip.subarray(0, IP)), 10)
  l4.copy(ip, IP)
  return frame
}

function tcp(packet: Packet, flags: number): Buffer {
  const header = Buffer.alloc(20)
  ports(header, packet)
  header[12] = 5 << 4
  header[13] = flags
  header.writeUInt16BE(65535, 14)
  header.writeUInt16BE(checksum(Buffer.concat([pseudo(packet, header.length), header])), 16)
  return header
}

function udp(packet: Packet): Buffer {
  const header = Buffer.alloc(8)
  ports(header, packet)
  header.writeUInt16BE(8, 4)
  header.writeUInt16BE(checksum(Buffer.concat([pseudo(packet, header.length), header])) || 0xffff, 6)
  return header
}

function echo(packet: Packet): Buffer {
  const message = Buffer.from([8, 0, 0, 0, packet.sourcePort >> 8, packet.sourcePort & 0xff, 0, 1])
  message.writeUInt16BE(checksum(message), 2)
  return message
}

function ports(header: Buffer, packet: Packet): void {
  header.writeUInt16BE(packet.sourcePort, 0)
  header.writeUInt16BE(packet.destinationPort, 2)
}

function pseudo(packet: Packet, length: number): Buffer {
  const header = Buffer.alloc(12)
  header.writeUInt32BE(packet.source, 0)
  header.writeUInt32BE(packet.destination, 4)
  header[9] = packet.protocol
  header.writeUInt16BE(length, 10)
  return header
}

function checksum(bytes: Buffer): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** Addresses and ports of a frame; of what a Geneve packet carries, with the outer destination as `node`. */
export function readFrame(frame: Buffer): { packet: Packet; node?: Address; mac: string; sourceMac: string } {
  const mac = macAt(frame, 0)
  const sourceMac = macAt(frame, 6)
  const packet = readIp(frame, ETHERNET)
  if (packet.protocol !== UDP || packet.destinationPort !== 6081) return { packet, mac, sourceMac }
  const geneve = ETHERNET + (frame[ETHERNET]! & 0xf) * 4 + 8
  const inner = geneve + 8 + (frame[geneve]! & 0x3f) * 4
  // Ethernet inside (0x6558), or IP at once.
  const at = frame.readUInt16BE(geneve + 2) === 0x6558 ? inner + ETHERNET : inner
  return { packet: readIp(frame, at), node: packet.destination, mac, sourceMac }
}

function readIp(frame: Buffer, at: number): Packet {
  const protocol = frame[at + 9]!
  const l4 = at + (frame[at]! & 0xf) * 4
  const [sourcePort, destinationPort] = readPorts(frame, l4, protocol)
  return {
    protocol,
    source: frame.readUInt32BE(at + 12) as Address,
    destination: frame.readUInt32BE(at + 16) as Address,
    sourcePort,
    destinationPort,
  }
}

/** Of ping the identifier, at the end of who asks; as flows have it. */
function readPorts(frame: Buffer, l4: number, protocol: number): [source: number, destination: number] {
  if (frame.length < l4 + 8) return [0, 0]
  if (protocol !== ICMP) return [frame.readUInt16BE(l4), frame.readUInt16BE(l4 + 2)]
  const id = frame.readUInt16BE(l4 + 4)
  return frame[l4] === 8 ? [id, 0] : frame[l4] === 0 ? [0, id] : [0, 0]
}

function macAt(frame: Buffer, at: number): string {
  return [...frame.subarray(at, at + 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}
