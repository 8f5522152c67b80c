import { MAPS, PurgeIds, PurgeRun } from './layout.gen.ts'

/** Ids of services and backends whose flows the next walk deletes, as bits. */
export const PURGE_MAP = MAPS.w_purge
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

/** Room for what a walk answers. */
export function purgeArguments(): Buffer {
  return Buffer.alloc(PurgeRun.size)
}

export function decodePurge(run: Buffer): PurgeCounts {
  return { tcp: run.readUInt32LE(PurgeRun.tcp), other: run.readUInt32LE(PurgeRun.any) }
}
