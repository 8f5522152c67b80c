import { WeftError } from '../lib/errors.ts'
import { MAGLEV_SIZES } from '../types/maglev.ts'

/** A table size outside the list. */
export class MaglevError extends WeftError {}

/**
 * Entries of the table for that many backends; 0 when there are none. `auto` is the smallest size ≥ 100 × backends (the
 * largest when none is): a function of the backend set alone, so that all nodes agree.
 */
export function maglevSizeFor(configured: number | 'auto', backends: number): number {
  if (backends === 0) return 0
  if (configured !== 'auto') return configured
  return MAGLEV_SIZES.find((size) => size >= 100 * backends) ?? MAGLEV_SIZES[MAGLEV_SIZES.length - 1]!
}
