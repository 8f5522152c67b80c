import type { JoinFacts } from './join-file.ts'
import type { EndpointProbe } from './probe.ts'

/** `problem` refuses the join; `warning` is for what cannot be known, or works with a drawback. */
export type Verdict = 'ok' | 'warning' | 'problem'

export interface Check {
  readonly check:
    | 'names'
    | 'ids'
    | 'pod-cidrs'
    | 'service-cidrs'
    | 'clock'
    | 'tls'
    | 'reachable'
    | 'mtu'
    | 'max-clusters'
    | 'versions'
  readonly verdict: Verdict
  readonly message: string
  /** What to do; with every verdict but ok. */
  readonly next?: string
}

/** What is compared of a cluster. Undefined: nobody knows. */
export interface ClusterFacts {
  readonly name: string
  readonly id: number | undefined
  readonly podCidrs: readonly string[] | undefined
  readonly serviceCidrs: readonly string[] | undefined
}

/** The cluster that connects. */
export interface OwnFacts extends ClusterFacts {
  readonly id: number
  readonly maxConnectedClusters: number
  readonly mtu: number | undefined
  readonly version: string
}

export interface PreflightInput {
  readonly own: OwnFacts
  readonly peer: JoinFacts
  /** Clusters that are connected already; an entry with the peer's name is the peer's own older self. */
  readonly others: readonly ClusterFacts[]
  /** One for each endpoint of the peer. */
  readonly probes: readonly EndpointProbe[]
  readonly now: Date
}

export function refused(checks: readonly Check[]): boolean {
  return checks.some(({ verdict }) => verdict === 'problem')
}

export const ok = (check: Check['check'], message: string): Check => ({ check, verdict: 'ok', message })
export const warning = (check: Check['check'], message: string, next: string): Check => ({
  check,
  verdict: 'warning',
  message,
  next,
})
export const problem = (check: Check['check'], message: string, next: string): Check => ({
  check,
  verdict: 'problem',
  message,
  next,
})
