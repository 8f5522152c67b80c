import { pseudoHeader, sum } from './model/checksum.ts'
import { ETH, ICMP, TCP, UDP } from './model/parse.ts'
import type { Rng } from './rng.ts'

/** One way to damage a frame. */
export interface Mutation {
  readonly name: string
  readonly apply: (frame: Buffer) => Buffer
}

/** The least that a test run takes: a whole Ethernet header. */
const SHORTEST = ETH
const LIES = [0, 1, 19, 20, 27, 28, 39, 40, 1500, 1501, 65535]
const ETHER_TYPES = [0x0806, 0x86dd, 0x8100, 0x88a8, 0x0800, 0x0008]
const STATIONS = ['ffffffffffff', '020000000003', '01005e000001', '020000000002']

function edited(name: string, needs: number, edit: (copy: Buffer) => void): Mutation {
  return {
    name,
    apply: (frame) => {
      if (frame.length < needs) return frame
      const copy = Buffer.from(frame)
      edit(copy)
      return copy
    },
  }
}

function byteAt(name: string, at: number, value: number, mask: number): Mutation {
  return edited(`${name} ${value.toString(16)}`, at + 1, (copy) => {
    copy[at] = (copy[at]! & ~mask) | (value & mask)
  })
}

function headerEnd(frame: Buffer): number {
  return ETH + (frame[ETH]! & 15) * 4
}

/** What happens to a frame on its way here: mostly nothing. */
export function mutations(rng: Rng): Mutation[] {
  if (rng.chance(0.5)) return []
  const chosen = Array.from({ length: 1 + rng.below(3) }, () => mutation(rng))
  // A damaged frame whose sums are right again goes further.
  return rng.chance(0.5) ? [...chosen, { name: 'sums right again', apply: settled }] : chosen
}

function mutation(rng: Rng): Mutation {
  switch (rng.below(13)) {
    case 0:
    case 1: {
      const [at, bit] = [rng.below(90), 1 << rng.below(8)]
      return edited(`bit ${bit} of byte ${at}`, at + 1, (copy) => (copy[at] = copy[at]! ^ bit))
    }
    case 2: {
      const length = SHORTEST + rng.below(90)
      return { name: `cut at ${length}`, apply: (frame) => frame.subarray(0, length) }
    }
    case 3: {
      const padding = Buffer.alloc(1 + rng.below(46), rng.pick([0, 0xff, 0x5a]))
      return { name: `padding of ${padding.length}`, apply: (frame) => Buffer.concat([frame, padding]) }
    }
    case 4:
      return byteAt('header length', ETH, rng.below(16), 0x0f)
    case 5:
      return byteAt('version', ETH, rng.below(16) << 4, 0xf0)
    case 6: {
      const value = rng.below(16) << 4
      return edited(`data offset ${value}`, ETH + 20 + 13, (copy) => {
        const at = headerEnd(copy) + 12
        if (at < copy.length) copy[at] = (copy[at]! & 15) | value
      })
    }
    case 7: {
      const value = rng.pick(LIES)
      return edited(`total length ${value}`, ETH + 4, (copy) => copy.writeUInt16BE(value, ETH + 2))
    }
    case 8: {
      const value = rng.pick([0x2000, 0x4000, 0x8000, 0x0001, 0x2001, 0x1fff, 0xffff])
      return edited(`fragment word ${value.toString(16)}`, ETH + 8, (copy) => copy.writeUInt16BE(value, ETH + 6))
    }
    case 9: {
      const value = rng.pick(ETHER_TYPES)
      return edited(`type ${value.toString(16)}`, ETH, (copy) => copy.writeUInt16BE(value, 12))
    }
    case 10: {
      const value = rng.pick(STATIONS)
      return edited(`for station ${value}`, ETH, (copy) => copy.write(value, 0, 'hex'))
    }
    case 11:
      return byteAt('protocol', ETH + 9, rng.pick([1, 6, 17, 132, 0, 41]), 0xff)
    default: {
      const [at, value] = [rng.below(60), rng.below(65536)]
      return edited(`word ${value.toString(16)} behind the header, at ${at}`, ETH + 20, (copy) => {
        const to = headerEnd(copy) + at
        if (to + 2 <= copy.length) copy.writeUInt16BE(value, to)
      })
    }
  }
}

interface Layout {
  readonly l4: number
  readonly end: number
  readonly protocol: number
  readonly whole: boolean
  /** Of the transport checksum. */
  readonly at: number
}

/** Undefined where lengths lie, so that no sum can be right. */
function layoutOf(frame: Buffer): Layout | undefined {
  if (frame.length < ETH + 20 || frame.readUInt16BE(12) !== 0x0800 || frame[ETH]! >> 4 !== 4) return undefined
  const l4 = headerEnd(frame)
  const end = ETH + frame.readUInt16BE(ETH + 2)
  const protocol = frame[ETH + 9]!
  if (l4 < ETH + 20 || end < l4 || end > frame.length) return undefined
  const whole = (frame.readUInt16BE(ETH + 6) & 0x3fff) === 0
  return { l4, end, protocol, whole, at: l4 + (protocol === TCP ? 16 : protocol === UDP ? 6 : 2) }
}

/** What the transport checksum adds up: all ones where it is right. */
function transportSum(frame: Buffer, { l4, end, protocol }: Layout): number {
  const bytes = frame.subarray(l4, end)
  return protocol === ICMP ? sum(bytes) : sum(bytes, sum(pseudoHeader(frame.subarray(ETH), protocol, end - l4)))
}

function settled(frame: Buffer): Buffer {
  const layout = layoutOf(frame)
  if (layout === undefined) return frame
  const copy = Buffer.from(frame)
  copy.writeUInt16BE(0, ETH + 10)
  copy.writeUInt16BE(~sum(copy.subarray(ETH, layout.l4)) & 0xffff, ETH + 10)
  const { at, whole, end, protocol } = layout
  if (!whole || at + 2 > end || (protocol === UDP && copy.readUInt16BE(at) === 0)) return copy
  copy.writeUInt16BE(0, at)
  const check = ~transportSum(copy, layout) & 0xffff
  copy.writeUInt16BE(check === 0 ? 0xffff : check, at)
  return copy
}

/** Whether all checksums of a packet are right; undefined for what is none, or a fragment's part of one. */
export function isSound(frame: Buffer): boolean | undefined {
  const layout = layoutOf(frame)
  if (layout === undefined) return undefined
  if (sum(frame.subarray(ETH, layout.l4)) !== 0xffff) return false
  const { at, whole, end, protocol } = layout
  if (!whole || (protocol !== TCP && protocol !== UDP && protocol !== ICMP)) return undefined
  if (at + 2 > end) return undefined
  if (protocol === UDP && frame.readUInt16BE(at) === 0) return true
  return transportSum(frame, layout) === 0xffff
}
