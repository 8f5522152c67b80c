/** Where a case runs: over maps in the kernel, over targets in memory. */
export const PLACES = ['kernel', 'memory'] as const
export type PlaceName = (typeof PLACES)[number]
