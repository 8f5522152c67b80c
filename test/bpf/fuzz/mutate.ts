import { geneveAt, headerEnd, innerAt, layoutOf, transportSum } from './layout.ts'
import { sum } from './model/checksum.ts'
import { ETH, UDP } from './model/parse.ts'
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

/** What happens to a frame on its way here: mostly nothing. */
export function mutations(rng: Rng): Mutation[] {
  if (rng.chance(0.5)) return []
  const chosen = Array.from({ length: 1 + rng.below(3) }, () => mutation(rng))
  // A damaged frame whose lengths and sums are right again goes further.
  if (rng.chance(0.3)) chosen.push({ name: 'lengths right again', apply: measured })
  if (rng.chance(0.5)) chosen.push({ name: 'sums right again', apply: settled })
  return chosen
}

/** To what an encapsulated frame carries. */
function inside({ name, apply }: Mutation): Mutation {
  return { name: `inside: ${name}`, apply: (frame) => applyInside(frame, apply) }
}

function applyInside(frame: Buffer, apply: (inner: Buffer) => Buffer): Buffer {
  const at = innerAt(frame)
  return at === undefined ? frame : Buffer.concat([frame.subarray(0, at), apply(frame.subarray(at))])
}

function mutation(rng: Rng): Mutation {
  switch (rng.below(17)) {
    case 13:
    case 14:
      return inside(mutation(rng))
    case 15: {
      const [at, value] = [rng.below(24), rng.below(256)]
      return edited(`byte ${at} of Geneve ${value.toString(16)}`, ETH + 20, (copy) => {
        const to = (geneveAt(copy) ?? copy.length) + at
        if (to < copy.length) copy[to] = value
      })
    }
    case 16: {
      const value = rng.pick(LIES)
      return edited(`datagram length ${value}`, ETH + 20, (copy) => {
        const to = headerEnd(copy) + 4
        if (to + 2 <= copy.length && copy[ETH + 9] === UDP) copy.writeUInt16BE(value, to)
      })
    }
    case 0:
    case 1: {
      const [at, bit] = [rng.below(rng.chance(0.3) ? 190 : 90), 1 << rng.below(8)]
      return edited(`bit ${bit} of byte ${at}`, at + 1, (copy) => (copy[at] = copy[at]! ^ bit))
    }
    case 2: {
      const length = SHORTEST + rng.below(rng.chance(0.4) ? 180 : 90)
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

/** Lengths as the frame has them, from the inside out. */
function measured(frame: Buffer): Buffer {
  const copy = Buffer.from(applyInside(frame, measured))
  if (copy.length < ETH + 20) return copy
  copy.writeUInt16BE(copy.length - ETH, ETH + 2)
  const l4 = headerEnd(copy)
  if (copy[ETH + 9] === UDP && l4 + 8 <= copy.length) copy.writeUInt16BE(copy.length - l4, l4 + 4)
  return copy
}

function settled(frame: Buffer): Buffer {
  const copy = Buffer.from(applyInside(frame, settled))
  const layout = layoutOf(copy)
  if (layout === undefined) return copy
  copy.writeUInt16BE(0, ETH + 10)
  copy.writeUInt16BE(~sum(copy.subarray(ETH, layout.l4)) & 0xffff, ETH + 10)
  const { at, whole, end, protocol } = layout
  if (!whole || at + 2 > end || (protocol === UDP && copy.readUInt16BE(at) === 0)) return copy
  copy.writeUInt16BE(0, at)
  const check = ~transportSum(copy, layout) & 0xffff
  copy.writeUInt16BE(check === 0 ? 0xffff : check, at)
  return copy
}
