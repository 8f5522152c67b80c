/**
 * Which sources have delivered their first complete list.
 *
 * Nothing that was found in the kernel at start may be deleted for being absent from a source that has not synced.
 * Source names: `local` for the own cluster, `mesh/<cluster>` for each configured remote one.
 */
export class SyncGates {
  readonly #gates = new Map<string, boolean>()
  readonly #listeners = new Set<(source: string) => void>()

  /** Adds a closed gate; an already known one keeps its state. */
  register(source: string): void {
    if (!this.#gates.has(source)) this.#gates.set(source, false)
  }

  /** The source was removed from the configuration: nobody waits for it any more. */
  unregister(source: string): void {
    if (this.#gates.delete(source)) this.#notify(source)
  }

  open(source: string): void {
    if (this.#gates.get(source) === true) return
    this.#gates.set(source, true)
    this.#notify(source)
  }

  isOpen(source: string): boolean {
    return this.#gates.get(source) === true
  }

  /** Sources still waited for. */
  closed(): string[] {
    return [...this.#gates].filter(([, open]) => !open).map(([source]) => source)
  }

  subscribe(listener: (source: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #notify(source: string): void {
    for (const listener of this.#listeners) listener(source)
  }
}

export const LOCAL_SOURCE = 'local'

export function meshSource(cluster: string): string {
  return `mesh/${cluster}`
}
