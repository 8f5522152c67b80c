import type { Address } from '../types/address.ts'
import type { Protocol } from '../types/service.ts'
import { formatAddress } from '../types/address.ts'
import { PROTOCOL_NAMES } from '../types/service.ts'
import { jhash3 } from '../lib/jhash.ts'
import { murmur3x64 } from '../lib/murmur3.ts'
import { MaglevError } from './maglev-size.ts'

export interface MaglevBackend {
  readonly address: Address
  readonly port: number
  readonly protocol: Protocol
  readonly weight: number
}

/** The mesh-wide seed, as three words: table construction, IPv4 packets, IPv6 packets. */
export interface MaglevSeed {
  readonly table: number
  readonly packet4: number
  readonly packet6: number
}

/** Base64 of exactly 12 bytes, read as three big-endian words. */
export function parseMaglevSeed(text: string): MaglevSeed {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== 12 || bytes.toString('base64') !== text) {
    throw new MaglevError('maglev-seed', `Maglev seed ${JSON.stringify(text)} is not the base64 form of 12 bytes`, {
      hint: 'generate one with: head -c12 /dev/urandom | base64 -w0',
    })
  }
  return { table: bytes.readUInt32BE(0), packet4: bytes.readUInt32BE(4), packet6: bytes.readUInt32BE(8) }
}

/**
 * The Maglev table of a backend set: `size` entries, each an index into `backends`, or `ids[index]` where ids are given. Filled into
 * `into` when given (its length must be `size`), so a table can be built where the datapath will read it.
 *
 * A function of addresses, ports, protocols, weights, size and seed: not of order, ids or states. So nodes agree on it.
 */
export function maglevTable(
  backends: readonly MaglevBackend[],
  size: number,
  seed: number,
  ids?: ArrayLike<number>,
  into?: Uint32Array,
): Uint32Array {
  const names = backends.map(backendName)
  return fillTable(names, (index) => backends[index]!.weight, size, seed, ids, into)
}

/** Frozen for ever: another spelling would move every flow of every node on upgrade. The state always reads "active". */
export function backendName(backend: MaglevBackend): string {
  return `[${formatAddress(backend.address)}:${backend.port}/${PROTOCOL_NAMES[backend.protocol]},State:active]`
}

/** As `maglevTable`, from the names that are hashed. They must be ASCII: then JavaScript's order is the order of bytes. */
export function fillTable(
  names: readonly string[],
  weightOf: (index: number) => number,
  size: number,
  seed: number,
  ids?: ArrayLike<number>,
  into: Uint32Array = new Uint32Array(size),
): Uint32Array {
  const count = names.length
  if (count === 0 || count >= size || into.length !== size) {
    throw new MaglevError('maglev-size', `a Maglev table of ${size} entries cannot hold ${count} backends`, {
      hint: 'choose a larger table size, at least 100 times the backends of the largest service, or "auto"',
    })
  }
  const sorted = names
    .map((_, index) => index)
    .sort((a, b) => (names[a]! < names[b]! ? -1 : names[a]! > names[b]! ? 1 : 0))
  const position = new Int32Array(count)
  const skip = new Int32Array(count)
  const value = new Uint32Array(count)
  const weight = new Float64Array(count)
  let total = 0
  const bytes = new Uint8Array(128)
  const hash = new Uint32Array(4)
  for (let i = 0; i < count; i++) {
    const index = sorted[i]!
    murmur3x64(bytes, writeAscii(names[index]!, bytes), seed, hash)
    position[i] = mod64(hash[0]!, hash[1]!, size)
    skip[i] = mod64(hash[2]!, hash[3]!, size - 1) + 1
    value[i] = ids === undefined ? index : ids[index]!
    weight[i] = weightOf(index)
    total += weight[i]!
  }
  // Rounding down is part of the format: weights 1 and 2 are equal, 100 and 200 are not.
  if (Math.floor(total / count) > 1 && !allEqual(weight)) fillWeighted(into, position, skip, value, weight, total)
  else fillEqual(into, position, skip, value)
  return into
}

/**
 * Backends take turns; each takes the next free place of its own permutation.
 *
 * Steps modulo the size without a branch: whether a step wraps is a coin toss, and a wrong guess costs more than the step.
 */
function fillEqual(table: Uint32Array, position: Int32Array, skip: Int32Array, value: Uint32Array): void {
  const size = table.length
  const count = position.length
  const taken = new Uint8Array(size)
  for (let n = 0; ;) {
    for (let i = 0; i < count; i++) {
      let at = position[i]!
      const back = (skip[i]! - size) | 0
      while (taken[at] !== 0) {
        at = (at + back) | 0
        at = (at + ((at >> 31) & size)) | 0
      }
      taken[at] = 1
      table[at] = value[i]!
      position[i] = at
      if (++n === size) return
    }
  }
}

/** The same, but whoever has had more than its share of the turns so far is passed over. */
function fillWeighted(
  table: Uint32Array,
  position: Int32Array,
  skip: Int32Array,
  value: Uint32Array,
  weight: Float64Array,
  total: number,
): void {
  const size = table.length
  const count = position.length
  const taken = new Uint8Array(size)
  const due = weight.map((each) => each / count)
  for (let n = 0; n < size; n++) {
    let i = n % count
    while ((n + 1) * weight[i]! < Math.trunc(due[i]!)) i = i + 1 === count ? 0 : i + 1
    due[i]! += total
    let at = position[i]!
    const back = (skip[i]! - size) | 0
    while (taken[at] !== 0) {
      at = (at + back) | 0
      at = (at + ((at >> 31) & size)) | 0
    }
    taken[at] = 1
    table[at] = value[i]!
    position[i] = at
  }
}

/** Equal weights give each backend every turn, whatever the weight is. */
function allEqual(weights: Float64Array): boolean {
  const first = weights[0]
  for (const weight of weights) if (weight !== first) return false
  return true
}

function writeAscii(text: string, bytes: Uint8Array): number {
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return text.length
}

/** (hi · 2³² + lo) mod m, exact for m < 2²⁰: no intermediate value passes 2⁵³. */
function mod64(hi: number, lo: number, m: number): number {
  return ((hi % m) * (4294967296 % m) + (lo % m)) % m
}

/**
 * The table slot the datapath looks at for an IPv4 packet. Header fields are hashed as a little-endian machine loads them;
 * the destination address is left out so that all addresses of a service agree. With ClientIP affinity, `sourcePort` is 0.
 */
export function packetSlot4(
  packet: { source: Address; sourcePort: number; port: number; protocol: Protocol },
  seed: MaglevSeed,
  size: number,
): number {
  return packetHash4(packet, seed) % size
}

export function packetHash4(
  packet: { source: Address; sourcePort: number; port: number; protocol: Protocol },
  seed: MaglevSeed,
): number {
  const ports = (swap16(packet.port) << 16) | swap16(packet.sourcePort)
  return jhash3(swap32(packet.source), ports, packet.protocol, seed.packet4)
}

function swap16(value: number): number {
  return ((value & 255) << 8) | (value >>> 8)
}

function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0
}
