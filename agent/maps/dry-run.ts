import { DryMagic, DryResult, DryRun, DryWord } from './layout.gen.ts'

/** Kinds of program that take packets. */
export type PacketProgram = 'tc' | 'xdp'

/** What a test run is given, and gives back. */
export interface RunInput {
  readonly data: Buffer
  readonly ctx: Buffer
}

/** What a program says of a dry run beside the packet that comes out. */
export interface DryAnswer {
  /** The packet is a service's. */
  readonly isOurs: boolean
  /** XDP leaves it to tc. */
  readonly isLeft: boolean
  /** Of a drop; 0 for none. */
  readonly reason: number
  /** ICMP type and code that the sender would be told. */
  readonly answered?: { readonly type: number; readonly code: number }
  /** A flow would be made. */
  readonly isNew: boolean
  /** Ids of that flow; 0 where it is no service's. */
  readonly serviceId: number
  readonly backendId: number
  /** Where the next hop's hardware address is not known: device and address, as the program's number of network order. */
  readonly device: number
  readonly nextHop: number
}

/** struct __sk_buff: mark, ingress_ifindex, ifindex, cb. */
const SKB = { size: 192, mark: 8, ingressIfindex: 36, ifindex: 40, cb: 48 } as const
/** struct xdp_md: data, data_end, ingress_ifindex. */
const XDP = { size: 24, data: 0, dataEnd: 4, ingressIfindex: 12 } as const

/** `frame` as a dry run: the program does everything with it but leave a trace. */
export function dryRunInput(kind: PacketProgram, frame: Buffer, ifindex: number): RunInput {
  if (kind === 'tc') {
    const ctx = Buffer.alloc(SKB.size)
    ctx.writeUInt32LE(DryMagic.MAGIC, SKB.mark)
    ctx.writeUInt32LE(ifindex, SKB.ingressIfindex)
    ctx.writeUInt32LE(ifindex, SKB.ifindex)
    return { data: frame, ctx }
  }
  const meta = Buffer.alloc(DryRun.size)
  meta.writeUInt32LE(DryMagic.MAGIC, DryRun.magic)
  const ctx = Buffer.alloc(XDP.size)
  ctx.writeUInt32LE(meta.length, XDP.data)
  ctx.writeUInt32LE(meta.length + frame.length, XDP.dataEnd)
  ctx.writeUInt32LE(ifindex, XDP.ingressIfindex)
  return { data: Buffer.concat([meta, frame]), ctx }
}

/** What came out of a dry run: the packet, and what the program says. */
export function dryRunOutput(
  kind: PacketProgram,
  result: { readonly data: Buffer; readonly ctx: Buffer | undefined },
): { readonly frame: Buffer; readonly answer: DryAnswer } {
  if (kind === 'xdp') {
    const frame = result.data.subarray(DryRun.size)
    return { frame, answer: decode(result.data, DryRun.words) }
  }
  return { frame: result.data, answer: decode(result.ctx ?? Buffer.alloc(SKB.size), SKB.cb) }
}

function decode(words: Buffer, at: number): DryAnswer {
  const word = (index: number): number => words.readUInt32LE(at + 4 * index)
  const result = word(DryWord.RESULT)
  const service = word(DryWord.SERVICE)
  const said = { type: result >>> 24, code: (result >>> 16) & 0xff }
  return {
    isOurs: (result & DryResult.OURS) !== 0,
    isLeft: (result & DryResult.LEFT) !== 0,
    reason: result & DryResult.REASON_MASK,
    ...((result & DryResult.ANSWERED) === 0 ? {} : { answered: said }),
    isNew: service !== 0,
    serviceId: service === DryMagic.NO_SERVICE ? 0 : service,
    backendId: word(DryWord.BACKEND),
    device: word(DryWord.DEVICE),
    nextHop: word(DryWord.NEXT_HOP),
  }
}
