import type { SlotBackend } from '../../types/frontend.ts'

/** The values of a mapped array as 32-bit words: element `i` starts at word `i * stride / 4`. Stores are live at once. */
export interface ArrayView {
  readonly count: number
  readonly stride: number
  readonly u32: Uint32Array
}

/** One of which elements may be touched only once `reach` was called for them: memory is there for no more of it. */
export interface GrowingView extends ArrayView {
  /** Elements below `count` may be touched from now on. */
  reach(count: number): void
}

/** What the load balancer needs of a hash map. `updateBatch` throws a BpfError whose `done` counts the elements written. */
export interface HashView {
  readonly maxEntries: number
  updateBatch(keys: Buffer, values: Buffer, count: number): void
  deleteBatch(keys: Buffer, count: number): number
  dump(): { readonly keys: Buffer; readonly values: Buffer; readonly count: number }
}

/** Ids from 1; reuse only after a grace. `allocate` throws WeftError `map-full`. */
export interface Ids {
  readonly used: number
  readonly capacity: number
  reserve(id: number): boolean
  allocate(): number
  release(id: number): void
}

/** Runs of array elements; reuse only after a grace. `allocate` throws WeftError `map-full`. */
export interface Spans {
  readonly used: number
  readonly size: number
  reserve(offset: number, length: number): boolean
  allocate(length: number): number
  free(offset: number): void
}

/** Maglev table of `size` entries, each an index into `slots`; a function of its arguments alone. */
export type MaglevBuilder = (slots: readonly SlotBackend[], size: number) => Uint32Array

/** Network order of a 32-bit value, for a machine of little-endian order. */
export function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0
}

export function swap16(value: number): number {
  return ((value << 8) | (value >>> 8)) & 0xffff
}
