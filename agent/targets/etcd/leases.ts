/** At most this many keys share a lease, as in Cilium: one lease that is lost takes no more with it. */
export const KEYS_PER_LEASE = 1000

/**
 * Which key hangs on which lease. No I/O: whoever asks for a lease is told when a new one has to be granted.
 *
 * A key is on one lease at most; `key` → lease and lease → keys are always in step.
 */
export class LeaseBook {
  readonly #keys = new Map<string, Set<string>>()
  readonly #leases = new Map<string, string>()
  /** Granted by us, so that there may be room left on them. */
  readonly #own = new Set<string>()
  /** Those of ours that may have room: looked through for every new key, so full ones must not pile up here. */
  readonly #roomy = new Set<string>()

  leases(): string[] {
    return [...this.#keys.keys()]
  }

  leaseOf(key: string): string | undefined {
    return this.#leases.get(key)
  }

  /** The lease `key` is on, or else one with room; undefined when one has to be granted. */
  choose(key: string): string | undefined {
    const known = this.#leases.get(key)
    if (known !== undefined) return known
    for (const lease of this.#roomy) {
      if (this.#keys.get(lease)!.size < KEYS_PER_LEASE) return lease
      this.#roomy.delete(lease)
    }
    return undefined
  }

  granted(lease: string): void {
    this.#own.add(lease)
    this.#roomy.add(lease)
    if (!this.#keys.has(lease)) this.#keys.set(lease, new Set())
  }

  /** `key` hangs on `lease` now, whoever granted it. */
  attach(key: string, lease: string): void {
    if (this.#leases.get(key) === lease) return
    this.detach(key)
    this.#leases.set(key, lease)
    const keys = this.#keys.get(lease)
    if (keys === undefined) this.#keys.set(lease, new Set([key]))
    else keys.add(key)
  }

  detach(key: string): void {
    const lease = this.#leases.get(key)
    if (lease === undefined) return
    this.#leases.delete(key)
    const keys = this.#keys.get(lease)
    keys?.delete(key)
    if (this.#own.has(lease)) this.#roomy.add(lease)
    if (keys?.size === 0 && !this.#own.has(lease)) this.#keys.delete(lease)
  }

  /** The lease has expired; returns the keys that went with it. */
  lost(lease: string): string[] {
    const keys = [...(this.#keys.get(lease) ?? [])]
    this.#keys.delete(lease)
    this.#own.delete(lease)
    this.#roomy.delete(lease)
    for (const key of keys) this.#leases.delete(key)
    return keys
  }
}
