import { mappedStride, u32Codec } from './codec.ts'
import { MAPS } from './layout.gen.ts'

/** Regions of backend ids: a service's slots, and its Maglev table. An array: the key is the cell's index. */
export const SLOT_MAP = MAPS.w_slot_v1

/** Bytes from cell to cell in the mapped array: twice the value. */
export const SLOT_STRIDE = mappedStride(SLOT_MAP)

export const slotKey = u32Codec

/** Backend id; 0 for none. */
export const slotValue = u32Codec
