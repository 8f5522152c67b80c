import { pseudoHeader, sum } from './model/checksum.ts'
import { GENEVE_PORT } from './model/geneve.ts'
import { ETH, ICMP, TCP, UDP } from './model/parse.ts'

/** Where things are in a frame whose lengths do not lie. */
export interface Layout {
  readonly l4: number
  readonly end: number
  readonly protocol: number
  readonly whole: boolean
  /** Of the transport checksum. */
  readonly at: number
}

export function headerEnd(frame: Buffer): number {
  return ETH + (frame[ETH]! & 15) * 4
}

/** Undefined where lengths lie, so that no sum can be right. */
export function layoutOf(frame: Buffer): Layout | undefined {
  if (frame.length < ETH + 20 || frame.readUInt16BE(12) !== 0x0800 || frame[ETH]! >> 4 !== 4) return undefined
  const l4 = headerEnd(frame)
  const end = ETH + frame.readUInt16BE(ETH + 2)
  const protocol = frame[ETH + 9]!
  if (l4 < ETH + 20 || end < l4 || end > frame.length) return undefined
  const whole = (frame.readUInt16BE(ETH + 6) & 0x3fff) === 0
  return { l4, end, protocol, whole, at: l4 + (protocol === TCP ? 16 : protocol === UDP ? 6 : 2) }
}

/** What the transport checksum adds up: all ones where it is right. */
export function transportSum(frame: Buffer, { l4, end, protocol }: Layout): number {
  const bytes = frame.subarray(l4, end)
  return protocol === ICMP ? sum(bytes) : sum(bytes, sum(pseudoHeader(frame.subarray(ETH), protocol, end - l4)))
}

/** Where Geneve's header begins in a frame that may be encapsulated, whatever its lengths say. */
export function geneveAt(frame: Buffer): number | undefined {
  if (frame.length < ETH + 20 || frame[ETH + 9] !== UDP) return undefined
  const at = headerEnd(frame) + 8
  return at + 8 <= frame.length && frame.readUInt16BE(at - 6) === GENEVE_PORT ? at : undefined
}

/** The frame that another one carries; around a bare packet there is an Ethernet header of no meaning. */
export function carried(frame: Buffer): Buffer | undefined {
  const inner = innerAt(frame)
  if (inner !== undefined) return frame.subarray(inner)
  const geneve = geneveAt(frame)
  if (geneve === undefined || frame.readUInt16BE(geneve + 2) !== 0x0800) return undefined
  return Buffer.concat([frame.subarray(0, ETH), frame.subarray(geneve + 8 + (frame[geneve]! & 63) * 4)])
}

/** Where the frame begins that another one carries behind an Ethernet header of its own. */
export function innerAt(frame: Buffer): number | undefined {
  const geneve = geneveAt(frame)
  if (geneve === undefined || frame.readUInt16BE(geneve + 2) !== 0x6558) return undefined
  const inner = geneve + 8 + (frame[geneve]! & 63) * 4
  return inner + ETH < frame.length ? inner : undefined
}
