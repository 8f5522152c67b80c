import type { RowStatus } from '../reconcile/target.ts'
import type { Tables } from '../state/tables.ts'
import type { Frontend } from '../types/frontend.ts'
import type { Identity } from '../types/identity.ts'
import type { Pod } from '../types/node.ts'
import type { Problem } from '../types/problem.ts'
import type { ServiceName } from '../types/service.ts'
import type { ConfigValue, StatusReport } from './types.ts'

/** A frontend with the outcome of bringing it into the kernel. */
export interface FrontendView {
  readonly frontend: Frontend
  /** The service id in the maps; undefined until it has one. */
  readonly id: number | undefined
  readonly status: RowStatus
}

/**
 * Everything the read models look at, and nothing that could change something. The composition root implements it over
 * the live objects: every call answers with the state of that moment.
 */
export interface AgentView {
  readonly version: string
  readonly cluster: { readonly name: string; readonly id: number }
  readonly node: { readonly name: string; readonly address: string; readonly podCidrs: readonly string[] }
  readonly config: readonly ConfigValue[]
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  /** The wall clock, milliseconds since the epoch. */
  now(): number
  readonly tables: Tables
  /** Identities of the own cluster's pods. */
  ownIdentities(): Iterable<Identity>
  /** The identity the datapath has for a pod of the own cluster. */
  identityOf(pod: Pod): number
  frontends(): Iterable<FrontendView>
  frontendsOf(service: ServiceName): Iterable<FrontendView>
  /** What was found while computing the wanted state, beyond what rows and sources carry themselves. */
  problems(): readonly Problem[]
  problemsOf(service: ServiceName): readonly Problem[]
  /** Names of sources that have not delivered their first complete list. */
  waitingFor(): readonly string[]
  targets(): StatusReport['targets']
  datapath(): StatusReport['datapath']
}
