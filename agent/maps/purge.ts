import type { Cidr } from '../types/address.ts'
import type { SourceRangePolicy } from '../types/service.ts'
import { maskAddress } from '../types/address.ts'
import { MAPS, PurgeIds, PurgeRange, PurgeRun } from './layout.gen.ts'

/** Ids of services and backends whose flows the next walk deletes, as bits. */
export const PURGE_MAP = MAPS.w_purge
/** Clients whose flows a walk leaves, of services that are still there. */
export const PURGE_RANGES_MAP = MAPS.w_purge_ranges
export const PURGE_PROGRAM = 'weft_purge_flows'

const IDS_PER_ELEMENT = 32

/** Elements that the map needs for ids up to `capacity`. */
export function purgeElements(capacity: number): number {
  return Math.floor(capacity / IDS_PER_ELEMENT) + 1
}

export type PurgeKind = 'backends' | 'services'

/** Word and bit of an id in the mapped array. */
export function purgeBit(
  kind: PurgeKind,
  id: number,
  stride: number,
): { readonly word: number; readonly mask: number } {
  const at = Math.floor(id / IDS_PER_ELEMENT) * stride + PurgeIds[kind]
  return { word: at / 4, mask: 2 ** (id % IDS_PER_ELEMENT) }
}

export interface PurgeCounts {
  readonly tcp: number
  readonly other: number
}

/** Who may use a service now. */
export interface ServiceClients {
  readonly serviceId: number
  readonly policy: SourceRangePolicy
  readonly ranges: readonly Cidr[]
}

/** The words of an element of the ranges' array, as they lie in memory on a little-endian machine. */
export function purgeRangeWords({ serviceId, policy }: ServiceClients, { address, bits }: Cidr): Uint32Array {
  const element = Buffer.alloc(PurgeRange.size)
  element.writeUInt32LE(serviceId, PurgeRange.svcId)
  element.writeUInt32BE(address, PurgeRange.addr)
  element.writeUInt32BE(maskAddress(ALL_BITS, bits), PurgeRange.mask)
  element.writeUInt32LE(policy === 'deny' ? 1 : 0, PurgeRange.deny)
  return Uint32Array.from({ length: PurgeRange.size / 4 }, (_, i) => element.readUInt32LE(4 * i))
}

const ALL_BITS = 0xffffffff as Cidr['address']

/** What a walk is told, with room for what it answers. */
export function purgeArguments(ranges: number): Buffer {
  const run = Buffer.alloc(PurgeRun.size)
  run.writeUInt32LE(ranges, PurgeRun.ranges)
  return run
}

export function decodePurge(run: Buffer): PurgeCounts {
  return { tcp: run.readUInt32LE(PurgeRun.tcp), other: run.readUInt32LE(PurgeRun.any) }
}
