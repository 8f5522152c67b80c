import { desiredHealthCheck } from '../desired/health-checks.ts'
import type { Snapshot } from '../desired/snapshot.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError, hintOf } from '../lib/errors.ts'
import { parseListenAddress } from '../lib/listen-address.ts'
import type { Log } from '../lib/log.ts'
import { Planner } from '../reconcile/planner.ts'
import { Reconciler } from '../reconcile/reconciler.ts'
import type { SyncGates } from '../state/sync.ts'
import { LOCAL_SOURCE } from '../state/sync.ts'
import type { Writer } from '../state/writer.ts'
import { HealthCheckTarget } from '../targets/health-checks.ts'
import type { HealthCheck, NodeHealth } from '../types/health-check.ts'
import type { Problem } from '../types/problem.ts'
import type { ServiceName } from '../types/service.ts'

/** As long as kube-proxy gives itself before it calls a node unhealthy. */
const STUCK_MS = 60_000

/** Owner and key of the node's own check. Names of services have a slash. */
const NODE = 'node'

export interface HealthCheckOptions {
  readonly snapshot: Snapshot
  readonly writer: Writer
  readonly sync: SyncGates
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  /** `host:port` of the node's own check; undefined: none. */
  readonly nodeAddress: string | undefined
  /** How long changes of services have been waiting for the datapath; 0 when none is. */
  readonly stuckMs: () => number
}

/** Answers health checks from what is decided for the datapath, and follows it. */
export class HealthChecks {
  readonly #options: HealthCheckOptions
  readonly #target: HealthCheckTarget
  readonly #reconciler: Reconciler<HealthCheck>
  readonly #planner: Planner<HealthCheck>
  #unsubscribe: (() => void)[] = []

  constructor(options: HealthCheckOptions) {
    this.#options = options
    this.#target = new HealthCheckTarget(() => this.#node())
    this.#reconciler = new Reconciler({ ...options, target: this.#target, onChange: () => this.#tell() })
    this.#planner = new Planner({
      reconciler: this.#reconciler,
      compute: (owner) => {
        const check = owner === NODE ? this.#nodeCheck() : desiredHealthCheck(options.snapshot, owner as ServiceName)
        return new Map(check === undefined ? [] : [[owner, check]])
      },
    })
  }

  async start(): Promise<void> {
    const { writer, sync, snapshot } = this.#options
    await this.#reconciler.start()
    this.#reconciler.allowPrune()
    this.#unsubscribe = [
      writer.subscribe(({ service }) => {
        // Until the first list is complete, a node would deny backends that it has.
        if (service !== undefined && snapshot.isSynced(LOCAL_SOURCE) && this.#concerns(service))
          this.#planner.mark(service)
      }),
      sync.subscribe((source) => {
        if (source !== LOCAL_SOURCE) return
        for (const { name } of snapshot.tables.services.values()) if (this.#concerns(name)) this.#planner.mark(name)
      }),
    ]
    this.#planner.mark(NODE)
    await this.#planner.idle()
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#planner.stop()
    await this.#reconciler.stop()
    await this.#target.close()
  }

  #concerns(name: ServiceName): boolean {
    const port = this.#options.snapshot.tables.services.get(name)?.healthCheckNodePort
    return port !== undefined || this.#reconciler.desired(name) !== undefined
  }

  #nodeCheck(): HealthCheck | undefined {
    const { nodeAddress } = this.#options
    if (nodeAddress === undefined) return undefined
    return { service: undefined, ...parseListenAddress(nodeAddress), localEndpoints: 0 }
  }

  #node(): NodeHealth {
    const { snapshot, clock, stuckMs } = this.#options
    const { clusterName, nodeName } = snapshot.local
    const now = clock.date()
    const stuck = stuckMs()
    return {
      healthy: stuck < STUCK_MS,
      eligible: snapshot.tables.nodes.get(`${clusterName}/${nodeName}`)?.leaving !== true,
      lastUpdated: new Date(now.getTime() - stuck),
      now,
    }
  }

  #tell(): void {
    const problems: Problem[] = []
    for (const [key] of this.#reconciler.desiredEntries()) {
      const status = this.#reconciler.status(key)
      if (status.state !== 'error') continue
      const { error } = status
      problems.push({
        code: 'health-check-not-served',
        message: describeError(error),
        hint: hintOf(error) ?? 'it is tried again',
      })
    }
    this.#options.writer.setProblems('health-checks', problems)
  }
}
