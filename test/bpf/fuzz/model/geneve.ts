import { jhash3 } from '../../../../agent/lib/jhash.ts'
import type { FlowKeyFields } from '../../../../agent/maps/flow.ts'
import type { Address } from '../../../../agent/types/address.ts'
import { sum } from './checksum.ts'
import { ETH, type Packet } from './parse.ts'

export const GENEVE_PORT = 6081
const UDP_AND_GENEVE = 16
const ETHERNET = 0x6558
const IPV4 = 0x0800
const WORLDS = [2, 9]
const OPTION_BYTES = 12

/** The service that was asked. */
export interface Told {
  readonly address: Address
  readonly port: number
}

/** Bytes in front of a packet, its own Ethernet header included. */
export function roomFor(told: boolean): number {
  return 20 + UDP_AND_GENEVE + ETH + (told ? OPTION_BYTES : 0)
}

/** The frame in an outer one of its own addresses. */
export function wrapped(frame: Buffer, packet: Packet, from: Address, node: Address, told: Told | undefined): Buffer {
  const option = Buffer.alloc(told === undefined ? 0 : OPTION_BYTES)
  if (told !== undefined) {
    option.set([0x01, 0x4b, 0x81, 2])
    option.writeUInt32BE(told.address, 4)
    option.writeUInt16BE(told.port, 8)
  }
  const geneve = Buffer.alloc(8)
  geneve[0] = option.length / 4
  geneve.writeUInt16BE(ETHERNET, 2)
  geneve.writeUInt32BE(WORLDS[0]! << 8, 4)
  const length = frame.length - ETH + roomFor(told !== undefined)
  const udp = Buffer.alloc(8)
  udp.writeUInt16BE(0xc000 | (hashOf(packet.key) & 0x3fff), 0)
  udp.writeUInt16BE(GENEVE_PORT, 2)
  udp.writeUInt16BE(length - 20, 4)
  const ip = Buffer.alloc(20)
  ip[0] = 0x45
  ip[1] = frame[ETH + 1]! & 0xfc
  ip.writeUInt16BE(length, 2)
  ip.writeUInt16BE(0x4000, 6)
  ip[8] = 64
  ip[9] = 17
  ip.writeUInt32BE(from, 12)
  ip.writeUInt32BE(node, 16)
  ip.writeUInt16BE(~sum(ip) & 0xffff, 10)
  return Buffer.concat([frame.subarray(0, ETH), ip, udp, geneve, option, frame])
}

/** The same source port for all packets of a flow: fields as a little-endian machine loads them. */
function hashOf({ source, destination, sourcePort, destinationPort, protocol }: FlowKeyFields): number {
  const word = Buffer.alloc(12)
  word.writeUInt32BE(source, 0)
  word.writeUInt32BE(destination, 4)
  word.writeUInt16BE(sourcePort, 8)
  word.writeUInt16BE(destinationPort, 10)
  return jhash3(word.readUInt32LE(0), word.readUInt32LE(4), word.readUInt32LE(8), protocol)
}

/** Another network between nodes is for others. */
export type Unwrapped = 'invalid' | 'foreign' | { readonly room: number; readonly told: Told | undefined }

/** What a packet to our port carries: a packet that is all there, and the service if an option says it. */
export function unwrapped(frame: Buffer, packet: Packet): Unwrapped {
  const end = Math.min(frame.length, ETH + packet.totalLength)
  const header = packet.l4 + 8
  if (header + 8 > end || frame[header]! >> 6 !== 0) return 'invalid'
  if (!WORLDS.includes(frame.readUInt32BE(header + 4) >>> 8)) return 'foreign'
  const options = header + 8
  const behind = options + (frame[header]! & 63) * 4
  if (behind + ETH > end) return 'invalid'
  const told = readOptions(frame.subarray(options, behind))
  if (told === 'invalid') return 'invalid'
  const kind = frame.readUInt16BE(header + 2)
  if (kind !== ETHERNET && kind !== IPV4) return 'invalid'
  const inner = kind === ETHERNET ? behind + ETH : behind
  if (kind === ETHERNET && frame.readUInt16BE(behind + 12) !== IPV4) return 'invalid'
  if (inner + 20 > end || inner + frame.readUInt16BE(inner + 2) > end) return 'invalid'
  return { room: inner - ETH, told: told.address === 0 ? undefined : told }
}

/** The last one counts, critical or not. */
function readOptions(options: Buffer): Told | 'invalid' {
  let told: Told = { address: 0 as Address, port: 0 }
  let at = 0
  while (at < options.length) {
    const bytes = 4 + (options[at + 3]! & 31) * 4
    if (at + bytes > options.length) return 'invalid'
    const ours = options.readUInt16BE(at) === 0x014b && (options[at + 2]! | 0x80) === 0x81
    if (ours && bytes === OPTION_BYTES) {
      told = { address: options.readUInt32BE(at + 4) as Address, port: options.readUInt16BE(at + 8) }
    }
    at += bytes
  }
  return told
}
