import { type Address, formatAddress, parseAddress } from '../../agent/types/address.ts'

/** A frame as a test writes it down. Whatever is left out has the value of {@link DEFAULTS}. */
export interface PacketSpec {
  readonly src: string
  readonly dst: string
  readonly sport?: number
  readonly dport?: number
  /** `sctp` stands for what is not translated: its header is left at zeros. */
  readonly proto?: 'tcp' | 'udp' | 'icmp' | 'sctp'
  /** TCP: any of S A F R P. */
  readonly flags?: string
  readonly ttl?: number
  /** Identification, 0x1234 where nothing is said. */
  readonly id?: number
  readonly tos?: number
  readonly payload?: string | Buffer
  /** Bytes of IP options; a multiple of 4. */
  readonly options?: number
  /** UDP only: send without a checksum. */
  readonly noChecksum?: boolean
  /** ICMP: what kind of message; an echo request where nothing is said. */
  readonly icmp?: IcmpSpec
  readonly dontFragment?: boolean
  readonly fragment?: { readonly offset: number; readonly more: boolean }
  readonly smac?: string
  readonly dmac?: string
  readonly etherType?: number
  /** Cut the frame after this many bytes. */
  readonly cut?: number
  /** Bytes behind the packet, as short frames have them. */
  readonly padding?: number
  /** Header length field, in words, in place of the right one; the version is in bits above it. */
  readonly ihl?: number
  /** Total length field in place of the right one. */
  readonly totalLength?: number
  /** UDP: the datagram's length, in place of the right one. */
  readonly udpLength?: number
  /** TCP: words of header, in place of the right number. */
  readonly doff?: number
  /** All of it in Geneve, behind an Ethernet header of its own. */
  readonly geneve?: GeneveSpec | undefined
}

export interface GeneveSpec {
  readonly src: string
  readonly dst: string
  readonly sport?: number
  /** The DSR option. */
  readonly told?: { readonly address: string; readonly port: number }
  /** Options in front of it, as they stand in the packet. */
  readonly options?: Buffer
  readonly vni?: number
  readonly version?: number
  readonly flags?: number
  /** What is inside: Ethernet, or the IP packet itself. */
  readonly inner?: 'ethernet' | 'ip' | number
  /** Words of options, in place of the right number. */
  readonly words?: number
  readonly outerOptions?: number
  readonly tos?: number
  readonly smac?: string
  readonly dmac?: string
}

export interface IcmpSpec {
  readonly type?: number
  readonly code?: number
  /** Echo. */
  readonly id?: number
  /** Errors: the packet that was refused, as its IP header and the first `quoteBytes` behind it (default 8). */
  readonly quote?: PacketSpec
  readonly quoteBytes?: number
  /** Type 3, code 4. */
  readonly mtu?: number
  /** As the programs quote: the whole transport header, with a checksum that is the same when a device finishes it again. */
  readonly own?: boolean
}

const ETH = 14
const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17, sctp: 132 } as const
const TCP_FLAGS: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, A: 16 }

const DEFAULTS = {
  sport: 40000,
  dport: 80,
  proto: 'tcp',
  flags: 'S',
  ttl: 64,
  tos: 0,
  payload: 'weft',
  smac: '02:00:00:00:00:01',
  dmac: '02:00:00:00:00:02',
  etherType: 0x0800,
} as const

export function address(text: string): Address {
  const value = parseAddress(text)
  if (value === undefined) throw new Error(`not an address: ${text}`)
  return value
}

/** Sum of 16-bit words, folded, not complemented (RFC 1071). An odd last byte counts as if a zero followed. */
function sum(bytes: Buffer, start = 0): number {
  let total = start
  for (let i = 0; i < bytes.length; i += 2) total += i + 1 < bytes.length ? bytes.readUInt16BE(i) : bytes[i]! << 8
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return total
}

function pseudoHeader(ip: Buffer, length: number): number {
  const pseudo = Buffer.alloc(12)
  ip.copy(pseudo, 0, 12, 20)
  pseudo.writeUInt16BE(ip[9]!, 8)
  pseudo.writeUInt16BE(length, 10)
  return sum(pseudo)
}

function buildL4(spec: PacketSpec): Buffer {
  const proto = spec.proto ?? DEFAULTS.proto
  const payload = Buffer.from(spec.payload ?? DEFAULTS.payload)
  const header = Buffer.alloc(proto === 'tcp' ? 20 : 8)
  if (proto === 'icmp') return buildIcmp(spec.icmp ?? {}, payload)
  if (proto === 'sctp') return Buffer.concat([Buffer.alloc(12), payload])
  header.writeUInt16BE(spec.sport ?? DEFAULTS.sport, 0)
  header.writeUInt16BE(spec.dport ?? DEFAULTS.dport, 2)
  if (proto === 'udp') {
    header.writeUInt16BE(spec.udpLength ?? 8 + payload.length, 4)
  } else {
    header.writeUInt32BE(1000, 4)
    header[12] = (spec.doff ?? 5) << 4
    header[13] = [...(spec.flags ?? DEFAULTS.flags)].reduce((bits, flag) => bits | (TCP_FLAGS[flag] ?? 0), 0)
    header.writeUInt16BE(0xfaf0, 14)
  }
  return Buffer.concat([header, payload])
}

function buildIcmp(spec: IcmpSpec, payload: Buffer): Buffer {
  const { type = 8, code = 0, id = 1, quote, mtu = 0 } = spec
  const header4 = quote?.proto === 'udp' ? 8 : 20
  const quoteBytes = spec.own === true ? header4 : (spec.quoteBytes ?? 8)
  const header = Buffer.from([type, code, 0, 0, 0, 0, 0, 0])
  header.writeUInt16BE(quote === undefined ? id : 0, 4)
  header.writeUInt16BE(quote === undefined ? 1 : mtu, 6)
  const quoted = quote === undefined ? payload : build(quote).subarray(ETH)
  const length = quote === undefined ? payload.length : ((quoted[0] ?? 0) & 15) * 4 + quoteBytes
  const message = Buffer.concat([header, quoted.subarray(0, length)])
  if (spec.own === true) settleChecksum(message.subarray(message.length - header4))
  message.writeUInt16BE(~sum(message) & 0xffff, 2)
  return message
}

/** Stores the x with x = ~(sum with x), modulo 65535. */
function settleChecksum(header: Buffer): void {
  const at = header.length === 8 ? 6 : 16
  header.writeUInt16BE(0, at)
  const half = ((~sum(header) & 0xffff) * 32768) % 65535
  header.writeUInt16BE(half === 0 ? 0xffff : half, at)
}

function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex')
}

function dsrOption({ address: vip, port }: { readonly address: string; readonly port: number }): Buffer {
  const option = Buffer.from('014b8102000000000000' + '0000', 'hex')
  option.writeUInt32BE(address(vip), 4)
  option.writeUInt16BE(port, 8)
  return option
}

function encapsulate(inner: Buffer, spec: GeneveSpec): Buffer {
  const { told, version = 0, flags = 0, vni = 2 } = spec
  const options = Buffer.concat([
    spec.options ?? Buffer.alloc(0),
    told === undefined ? Buffer.alloc(0) : dsrOption(told),
  ])
  const header = Buffer.alloc(8)
  header[0] = (version << 6) | (spec.words ?? options.length / 4)
  header[1] = flags
  const kind = spec.inner ?? 'ethernet'
  header.writeUInt16BE(kind === 'ethernet' ? 0x6558 : kind === 'ip' ? 0x0800 : kind, 2)
  header.writeUInt32BE(vni * 256, 4)
  const carried = kind === 'ip' ? inner.subarray(ETH) : inner
  return build({
    ...{ src: spec.src, dst: spec.dst, proto: 'udp', dport: 6081, noChecksum: true, id: 0, dontFragment: true },
    ...{ sport: spec.sport ?? 50000, tos: spec.tos ?? 0, options: spec.outerOptions ?? 0 },
    smac: spec.smac ?? DEFAULTS.smac,
    dmac: spec.dmac ?? DEFAULTS.dmac,
    payload: Buffer.concat([header, options, carried]),
  })
}

/** The frame, with right checksums. */
export function build(spec: PacketSpec): Buffer {
  if (spec.geneve !== undefined) return encapsulate(build({ ...spec, geneve: undefined }), spec.geneve)
  const proto = spec.proto ?? DEFAULTS.proto
  const ip = Buffer.alloc(20 + (spec.options ?? 0), 1)
  const later = (spec.fragment?.offset ?? 0) > 0
  const l4 = later ? Buffer.from(spec.payload ?? DEFAULTS.payload) : buildL4(spec)
  ip[0] = 0x40 | (spec.ihl ?? ip.length / 4)
  ip[1] = spec.tos ?? DEFAULTS.tos
  ip.writeUInt16BE(spec.totalLength ?? ip.length + l4.length, 2)
  ip.writeUInt16BE(spec.id ?? 0x1234, 4)
  const bits = (spec.fragment?.more === true ? 0x2000 : 0) | (spec.dontFragment === true ? 0x4000 : 0)
  ip.writeUInt16BE(bits | (spec.fragment?.offset ?? 0), 6)
  ip[8] = spec.ttl ?? DEFAULTS.ttl
  ip[9] = PROTOCOLS[proto]
  ip.writeUInt16BE(0, 10)
  ip.writeUInt32BE(address(spec.src), 12)
  ip.writeUInt32BE(address(spec.dst), 16)
  ip.writeUInt16BE(~sum(ip) & 0xffff, 10)
  if (!later && (proto === 'tcp' || proto === 'udp') && spec.noChecksum !== true) {
    const check = ~sum(l4, pseudoHeader(ip, l4.length)) & 0xffff
    l4.writeUInt16BE(proto === 'udp' && check === 0 ? 0xffff : check, proto === 'tcp' ? 16 : 6)
  }
  const eth = Buffer.alloc(ETH)
  mac(spec.dmac ?? DEFAULTS.dmac).copy(eth, 0)
  mac(spec.smac ?? DEFAULTS.smac).copy(eth, 6)
  eth.writeUInt16BE(spec.etherType ?? DEFAULTS.etherType, 12)
  const frame = Buffer.concat([eth, ip, l4, Buffer.alloc(spec.padding ?? 0, 0x5a)])
  return spec.cut === undefined ? frame : frame.subarray(0, spec.cut)
}

/** Source port of a frame that {@link build} made, or that a program made of one. */
export function sourcePort(frame: Buffer): number {
  return frame.readUInt16BE(ETH + (frame[ETH]! & 15) * 4)
}

export function destinationAddress(frame: Buffer): Address {
  return frame.readUInt32BE(ETH + 16) as Address
}

export function destinationPort(frame: Buffer): number {
  return frame.readUInt16BE(ETH + (frame[ETH]! & 15) * 4 + 2)
}

function checksumState(stored: number, total: number, optional: boolean): string {
  if (optional && stored === 0) return 'none'
  return total === 0xffff ? 'ok' : `WRONG (${stored.toString(16)})`
}

/** One line for people. */
export function describe(frame: Buffer): string {
  if (frame.length < ETH + 20) return `${frame.length} bytes: ${frame.toString('hex')}`
  const macs = `${frame.toString('hex', 6, 12)}>${frame.toString('hex', 0, 6)}`
  if (frame.readUInt16BE(12) !== 0x0800) return `${macs} type ${frame.readUInt16BE(12).toString(16)}`
  const ip = frame.subarray(ETH)
  const ihl = (ip[0]! & 15) * 4
  const l4 = ip.subarray(ihl, ip.readUInt16BE(2))
  const name = Object.entries(PROTOCOLS).find(([, number]) => number === ip[9])?.[0] ?? String(ip[9])
  const ends = [ip.readUInt32BE(12), ip.readUInt32BE(16)].map((end) => formatAddress(end as Address))
  const parts = [
    macs,
    name,
    `ttl ${ip[8]}`,
    `ihl ${ihl}`,
    `ip-csum ${checksumState(1, sum(ip.subarray(0, ihl)), false)}`,
  ]
  if ((name === 'tcp' || name === 'udp') && l4.length >= 8) {
    const at = name === 'tcp' ? 16 : 6
    const stored = l4.length >= at + 2 ? l4.readUInt16BE(at) : 0
    const total = sum(l4, pseudoHeader(ip, l4.length))
    parts.push(`l4-csum ${checksumState(stored, total, name === 'udp')}`)
    if (name === 'tcp') parts.push(`flags ${l4[13]?.toString(16)}`)
    return `${ends[0]}:${l4.readUInt16BE(0)} > ${ends[1]}:${l4.readUInt16BE(2)}  ${parts.join(', ')}`
  }
  return `${ends[0]} > ${ends[1]}  ${parts.join(', ')}`
}
