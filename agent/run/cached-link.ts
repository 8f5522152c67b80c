import type { Clock } from '../lib/clock.ts'
import type { ClusterLink } from '../types/wire/cluster-link.ts'
import { Liveness } from '../sources/mesh/liveness.ts'
import { SILENT } from '../sources/mesh/peer-signs.ts'

/** A cluster that was silent is alive again when its copy is complete and it has stayed for this long. */
const HOLD_DOWN_MS = 500
/** Readers are many: a reason that changes while the cluster stays silent is told no more often than this. */
const RETELL_MS = 10_000

export interface CachedLinkOptions {
  readonly clock: Clock
  /** Silence that is told; two unanswered pings and less than readers wait for before they act. */
  readonly silentAfterMs: number
  /** What an earlier process told last: its silence goes on until there is evidence against it. */
  readonly held: ClusterLink | undefined
  /** What is wrong with a cluster whose etcd answers; empty when nothing is known to be. */
  readonly complaint: () => string
  readonly onChange: (link: ClusterLink) => void
}

/** What readers of a copy are told about the connection it comes from: that it lives, or since when and why nothing is heard. */
export class CachedLink {
  readonly #options: CachedLinkOptions
  readonly #liveness: Liveness
  #told: ClusterLink
  #lastAt: number
  #stands = false
  #failure = ''

  constructor(options: CachedLinkOptions) {
    const { clock, silentAfterMs, held } = options
    this.#options = options
    this.#told = held ?? { connected: true, reason: '' }
    this.#lastAt = held?.silentSince ?? clock.date().getTime()
    this.#liveness = new Liveness({
      clock,
      unreachableAfterMs: silentAfterMs,
      cacheTtlMs: Infinity, // readers have their own
      holdDownMs: HOLD_DOWN_MS,
      onUnreachable: () => {
        if (this.#told.silentSince === undefined) this.#tellSilence()
      },
      onExpired: () => undefined,
      onReturned: () => this.#tell({ connected: true, reason: '' }),
    })
    if (this.silent) this.#liveness.silentFor(silentAfterMs)
  }

  get told(): ClusterLink {
    return this.#told
  }

  get silent(): boolean {
    return this.#told.silentSince !== undefined
  }

  alive(): void {
    this.#lastAt = this.#options.clock.date().getTime()
    this.#liveness.evidence()
  }

  connected(): void {
    this.#stands = true
  }

  /** All there is has been copied, or has to be looked at again. */
  complete(yes: boolean): void {
    this.#liveness.settled(yes)
  }

  failed(reason: string): void {
    this.#stands = false
    this.#failure = reason
    this.#liveness.settled(false)
    if (!this.silent || this.#told.reason === reason) return
    if (this.#options.clock.date().getTime() - (this.#told.at ?? 0) >= RETELL_MS) this.#tellSilence()
  }

  stop(): void {
    this.#liveness.stop()
  }

  #tellSilence(): void {
    this.#tell({
      connected: this.#stands,
      silentSince: this.#told.silentSince ?? this.#lastAt,
      at: this.#options.clock.date().getTime(),
      reason: (this.#stands ? this.#options.complaint() : this.#failure) || SILENT,
    })
  }

  #tell(link: ClusterLink): void {
    this.#told = link
    this.#options.onChange(link)
  }
}
