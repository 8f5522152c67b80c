import type { Verdict } from '../../run.ts'
import type { DeviceName } from './state.ts'
import type { Observed } from './create.ts'
import { fold, sum } from './checksum.ts'
import { ETH, type Packet, TCP, UDP } from './parse.ts'

export type Hook = 'ingress' | 'egress' | 'pod' | 'to-pod' | 'xdp'

/** One frame at one hook of one device. `station`: the device's address, by which a frame is known to be for this node. */
export interface Arrival {
  readonly frame: Buffer
  readonly hook: Hook
  readonly device: DeviceName
  readonly station: Buffer
  readonly now: number
  readonly observed: Observed
}

/** What becomes of a frame. `counted`: the reason under which it is counted, by the name of the C enum; none: not at all. */
export interface Outcome {
  readonly verdict: Verdict
  readonly frame: Buffer
  readonly counted: string | undefined
  /** As they are counted. */
  readonly bytes: number
  /** It has its final addresses, and says so to the programs that it meets yet. */
  readonly marked: boolean
  /** Counted besides, with the bytes that came. */
  readonly noted?: string
}

/** What the sender of a packet that is dropped gets to know, and from whom. */
export interface Complaint {
  readonly type: number
  readonly code: number
  readonly mtu: number
  readonly from: number
}

export function untouched(frame: Buffer): Outcome {
  return { verdict: 'pass', frame, counted: undefined, bytes: 0, marked: false }
}

export function passed(frame: Buffer, marked = false): Outcome {
  return { verdict: 'pass', frame, counted: 'REASON_FORWARDED', bytes: frame.length, marked }
}

export function redirected(frame: Buffer): Outcome {
  return { verdict: 'redirect', frame, counted: 'REASON_FORWARDED', bytes: frame.length, marked: true }
}

export function dropped(frame: Buffer, reason: string): Outcome {
  return { verdict: 'drop', frame, counted: reason, bytes: frame.length, marked: false }
}

/** Dropped and said so, to who can be told: the first octet of an address tells whether it can (RFC 1122, 3.2.2). */
export function refused(frame: Buffer, reason: string, packet: Packet, complaint: Complaint): Outcome {
  const octet = packet.source >>> 24
  const answerable = octet !== 0 && octet !== 127 && octet < 224
  const asked = packet.kind === 'whole' && (packet.protocol === TCP || packet.protocol === UDP)
  if (!answerable || !asked) return dropped(frame, reason)
  const answer = errorAbout(frame, packet, complaint)
  return { verdict: 'redirect', frame: answer, counted: reason, bytes: frame.length, marked: true }
}

/** Quotes all headers. The quoted checksum is one that a device may finish again without changing it. */
function errorAbout(frame: Buffer, packet: Packet, { type, code, mtu, from }: Complaint): Buffer {
  const tcp = packet.protocol === TCP
  const header = frame.subarray(ETH, packet.l4)
  const transport = Buffer.from(frame.subarray(packet.l4, packet.l4 + (tcp ? 20 : 8)))
  transport.writeUInt16BE(0, tcp ? 16 : 6)
  const half = ((~sum(transport) & 0xffff) * 32768) % 65535
  transport.writeUInt16BE(half === 0 ? 0xffff : half, tcp ? 16 : 6)

  const icmp = Buffer.from([type, code, 0, 0, 0, 0, mtu >> 8, mtu & 255])
  // A header that is whole sums up to nothing.
  icmp.writeUInt16BE(~fold(sum(icmp) + sum(transport)) & 0xffff, 2)
  const ip = Buffer.alloc(20)
  ip[0] = 0x45
  ip[1] = 0xc0
  ip.writeUInt16BE(20 + 8 + header.length + transport.length, 2)
  ip[8] = 64
  ip[9] = 1
  ip.writeUInt32BE(from, 12)
  ip.writeUInt32BE(packet.source, 16)
  ip.writeUInt16BE(~sum(ip) & 0xffff, 10)
  const back = [frame.subarray(6, 12), frame.subarray(0, 6), frame.subarray(12, ETH)]
  return Buffer.concat([...back, ip, icmp, header, transport])
}
