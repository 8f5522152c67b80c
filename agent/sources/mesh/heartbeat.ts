import type { Clock } from '../../lib/clock.ts'

/** Exporters write the heartbeat once a minute; two missed ones mean that the exporter or our watch is dead. */
export const HEARTBEAT_STALE_MS = 130_000

/**
 * Whether a cluster's exporter is alive, over any number of sessions: an etcd that answers says nothing about who writes into
 * it. Only a revision of the heartbeat that was not seen before counts; a cluster that has none is not judged by it.
 */
export class Heartbeat {
  readonly #clock: Clock
  readonly staleMs: number
  #revision: string | undefined
  #last = 0
  #wake: () => void = () => undefined

  constructor(clock: Clock, staleMs = HEARTBEAT_STALE_MS) {
    this.#clock = clock
    this.staleMs = staleMs
  }

  /** `revision`: the one that last changed the heartbeat key. */
  seen(revision: string): void {
    if (revision === this.#revision) return
    this.#revision = revision
    this.#last = this.#clock.now()
    this.#wake()
    this.#wake = () => undefined
  }

  /** Another key is looked at from now on. */
  forget(): void {
    this.#revision = undefined
  }

  get stale(): boolean {
    return this.#revision !== undefined && this.#clock.now() - this.#last >= this.staleMs
  }

  /** Resolves with the next one that was not seen before. */
  next(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve))
  }
}
