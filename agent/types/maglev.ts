/** The table sizes all nodes of a mesh may be configured with: primes, as Cilium lists them, so that mixed meshes can agree. */
export const MAGLEV_SIZES = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071] as const

/** Cilium's default seed, so that a mixed mesh picks the same backend everywhere. */
export const DEFAULT_MAGLEV_SEED = 'JLfvgnHc2kaSUFaI'
