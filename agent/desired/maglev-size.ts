import { WeftError } from '../lib/errors.ts'

/** The table sizes all nodes of a mesh may be configured with: primes, as Cilium lists them. */
export const MAGLEV_SIZES = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071] as const

export const DEFAULT_MAGLEV_SIZE = 16381

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
