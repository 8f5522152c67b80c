import type { BackendRow, IpcacheRow, ServiceRow } from '../../agent/cli/bpf/format.ts'
import type { PipelineTargets } from '../../agent/run/pipelines.ts'
import type { Clock } from '../../agent/lib/clock.ts'
import type { Target } from '../../agent/reconcile/target.ts'
import type { RouteEntry } from '../../agent/types/datapath.ts'
import type { Frontend } from '../../agent/types/frontend.ts'

/** The targets of one agent process, and what only the load balancer's has. */
export interface OpenTargets {
  readonly targets: PipelineTargets
  /** What a restart finds, read before anything else. */
  readonly found: ReadonlyMap<string, Frontend>
  idOf(frontend: string): number | undefined
  close(): void
}

/** What outlives an agent process: maps in the kernel, or their likeness in memory. */
export interface Place {
  /** As a new process would open them. The one before must have been closed. */
  open(clock: Clock): Promise<OpenTargets>
  /** What is really there, read without the agent. */
  services(): ServiceRow[]
  backends(): BackendRow[]
  ipcache(): IpcacheRow[]
  routes(): ReadonlyMap<string, RouteEntry>
  /** Removes entries behind the agent's back. */
  tamper(kind: 'services' | 'ipcache' | 'endpoints', keys: readonly string[]): void
  close(): void
}

/** Hands everything on and counts the entries that were written or removed. */
export function counting<V>(inner: Target<V>, count: (entries: number) => void): Target<V> {
  return {
    name: inner.name,
    load: () => inner.load(),
    equals: (a, b) => inner.equals(a, b),
    async set(batch) {
      const failures = await inner.set(batch)
      count(batch.length - failures.size)
      return failures
    },
    async delete(keys) {
      const failures = await inner.delete(keys)
      count(keys.length - failures.size)
      return failures
    },
  }
}
