import type { Address } from '../../types/address.ts'
import type { Reach } from '../../types/reach.ts'
import type { ServiceName } from '../../types/service.ts'

export interface ProbeTarget {
  readonly cluster: string
  readonly address: Address
  readonly port: number
}

/**
 * What one connection showed. `refused`: somebody is there and nobody listens. `silent`: no answer, or no way. `nothing`: this
 * node had no port, no memory or no time to look, which says nothing about the other side.
 */
export type Evidence = 'answers' | 'refused' | 'silent' | 'nothing'

export interface ProbeSettings {
  /** How often a backend in doubt is asked, and how often each cluster's sample is. */
  readonly intervalMs: number
  readonly timeoutMs: number
  /** How long a dead backend must answer, every time, before it is alive again, so that a flapping one changes nothing. */
  readonly holdDownMs: number
  /** Connections per second, over all clusters; a fifth of it may come at once. */
  readonly maxPerSecond: number
}

export interface Verdict {
  readonly row: Reach
  /** Those with a backend whose verdict changed. */
  readonly services: Iterable<ServiceName>
}
