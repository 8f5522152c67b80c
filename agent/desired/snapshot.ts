import type { Address } from '../types/address.ts'
import type { SlotBackend } from '../types/frontend.ts'
import type { Algorithm, Forwarding } from '../types/service.ts'
import type { Tables } from '../state/tables.ts'

/**
 * Everything `desired/` may know. Its functions read no clock, no kernel and no configuration besides this: the same
 * snapshot gives the same answer, on every node and in every test.
 */
export interface Snapshot {
  readonly tables: Tables
  readonly local: {
    readonly clusterName: string
    readonly clusterId: number
    readonly nodeName: string
    /** Addresses of this node: node ports answer on each of them. */
    readonly nodeAddresses: readonly Address[]
  }
  readonly lb: {
    readonly algorithm: Algorithm
    /** `hybrid`: DSR for TCP, SNAT for the rest. */
    readonly mode: Forwarding | 'hybrid'
    /** Which nodes of other clusters packets may be sent to by DSR: those that say they take it, all, none. */
    readonly dsrRemoteClusters: 'advertised' | 'always' | 'never'
    /** A listed prime, or `auto`: the smallest listed one ≥ 100 × the backends of the service. */
    readonly maglevSize: number | 'auto'
    /** First and last allowed node port, both included. */
    readonly nodePortRange: { readonly first: number; readonly last: number }
  }
  /** Whether a source (`local`, `mesh/<cluster>`) has delivered its first complete list. */
  isSynced(source: string): boolean
  /**
   * Backends found in the kernel at start for that frontend, `kept` ones included; empty for a frontend that was not there. They
   * count as long as the source that may still announce them has not synced, so that a restart drops nothing.
   */
  restored(frontendId: string): readonly SlotBackend[]
}
