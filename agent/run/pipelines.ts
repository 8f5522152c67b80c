import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Snapshot } from '../desired/snapshot.ts'
import type { DesiredFrontends } from '../desired/frontends.ts'
import type { Target } from '../reconcile/target.ts'
import type { SyncGates } from '../state/sync.ts'
import type { Change } from '../state/tables.ts'
import type { Writer } from '../state/writer.ts'
import type { Address } from '../types/address.ts'
import type { EndpointEntry, IpcacheEntry, RouteEntry } from '../types/datapath.ts'
import type { Frontend } from '../types/frontend.ts'
import type { Problem } from '../types/problem.ts'
import type { Service, ServiceName } from '../types/service.ts'
import { desiredEndpoints } from '../desired/endpoints.ts'
import { desiredFrontends, frontendConflict, frontendRank } from '../desired/frontends.ts'
import { desiredHostPorts } from '../desired/host-ports.ts'
import { desiredIpcache, hostPrefix } from '../desired/ipcache.ts'
import { PrefixTracker } from '../desired/prefixes.ts'
import { planRoutes } from '../desired/routes.ts'
import { IPCACHE_ROWS } from '../reconcile/ipcache-rows.ts'
import { Planner } from '../reconcile/planner.ts'
import { PrefixDelta } from '../reconcile/prefix-delta.ts'
import { Reconciler } from '../reconcile/reconciler.ts'
import { LOCAL_SOURCE } from '../state/sync.ts'

export interface PipelineTargets {
  readonly lb: Target<Frontend>
  readonly endpoints: Target<EndpointEntry>
  readonly ipcache: Target<IpcacheEntry>
  /** The pods' program on their devices; undefined where nothing is attached. */
  readonly podHooks?: Target<EndpointEntry> | undefined
  /** Undefined when the node's routes are somebody else's business. */
  readonly routes: Target<RouteEntry> | undefined
}

export interface PipelineOptions {
  readonly targets: PipelineTargets
  readonly snapshot: Snapshot
  readonly writer: Writer
  readonly sync: SyncGates
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  readonly auditMs: number
}

/** When a cluster goes or gets another id, all its addresses are due at once: others have their turns in between. */
const PREFIXES_AT_A_STRETCH = 500

/** Owner of what is computed as a whole. */
const ALL = 'all'
/** Before the key of a pod that owns frontends. No service's name begins so. */
const POD = 'pod:'

/**
 * From a changed row to the targets it concerns: which services, prefixes, endpoints and routes are to be worked out again.
 *
 * INVARIANTS
 * - No frontend and no pod's program is touched before the own cluster has synced: what the last agent left keeps forwarding.
 * - Addresses of this node are known to the datapath before a frontend that may choose them is published: a local backend
 *   must not be taken for a remote one.
 * - Frontends and endpoints are pruned once the own cluster has synced, ipcache and routes once every source has; both only
 *   after all that is wanted has been worked out.
 */
export class Pipelines {
  readonly lb: Reconciler<Frontend>
  readonly endpoints: Reconciler<EndpointEntry>
  readonly ipcache: Reconciler<IpcacheEntry>
  readonly podHooks: Reconciler<EndpointEntry> | undefined
  readonly routes: Reconciler<RouteEntry> | undefined
  readonly #options: PipelineOptions
  readonly #planners: {
    readonly lb: Planner<Frontend>
    readonly endpoints: Planner<EndpointEntry>
    readonly ipcache: Planner<IpcacheEntry>
    readonly podHooks: Planner<EndpointEntry> | undefined
    readonly routes: Planner<RouteEntry> | undefined
  }
  readonly #prefixes = new PrefixTracker()
  /** By owner: the name of a service, or `pod:` and the key of a pod with hostPorts. */
  readonly #frontends = new Map<string, DesiredFrontends>()
  readonly #clusterSeen = new Map<string, string>()
  #routeProblems: readonly Problem[] = []
  #unsubscribe: (() => void)[] = []

  constructor(options: PipelineOptions) {
    this.#options = options
    const { targets, snapshot } = options
    const reconciler = <V extends object>(target: Target<V>, rank?: (value: V) => number): Reconciler<V> =>
      new Reconciler({ ...options, target, ...(rank === undefined ? {} : { rank }) })
    this.lb = reconciler(targets.lb, frontendRank)
    this.endpoints = reconciler(targets.endpoints)
    this.ipcache = new Reconciler({ ...options, target: targets.ipcache, delta: new PrefixDelta(IPCACHE_ROWS) })
    this.podHooks = targets.podHooks === undefined ? undefined : reconciler(targets.podHooks)
    this.routes = targets.routes === undefined ? undefined : reconciler(targets.routes)

    const endpoints = new Planner({ reconciler: this.endpoints, compute: () => desiredEndpoints(snapshot) })
    this.#planners = {
      endpoints,
      lb: new Planner({
        reconciler: this.lb,
        compute: (owner) => this.#computeFrontends(owner),
        schedule: (fn) => void setImmediate(() => void endpoints.idle().then(fn)),
      }),
      ipcache: new Planner({
        reconciler: this.ipcache,
        compute: (prefix) => this.#computePrefix(prefix),
        most: PREFIXES_AT_A_STRETCH,
      }),
      podHooks: this.podHooks && new Planner({ reconciler: this.podHooks, compute: () => this.#computePodHooks() }),
      routes: this.routes && new Planner({ reconciler: this.routes, compute: () => this.#computeRoutes() }),
    }
  }

  /** Reads what is in place, then follows the tables. Sources are started afterwards. */
  async start(): Promise<void> {
    await Promise.all(this.#reconcilers().map((each) => each.start()))
    const { snapshot, writer, sync } = this.#options
    this.#unsubscribe = [writer.subscribe((change) => this.#onChange(change)), sync.subscribe((s) => this.#onSync(s))]
    this.#planners.ipcache.markAll(this.#prefixes.initial(snapshot))
    this.#planners.endpoints.mark(ALL)
  }

  /** Resolves when all that was marked has been worked out and tried. */
  async idle(): Promise<void> {
    await Promise.all(this.#allPlanners().map((each) => each.idle()))
  }

  /** Ends following and writing; what is in place stays. */
  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await Promise.all(this.#allPlanners().map((each) => each.stop()))
    await Promise.all(this.#reconcilers().map((each) => each.stop()))
  }

  /** How long a change of services has been on its way into the datapath; 0 when none is. */
  get stuckMs(): number {
    return this.#planners.lb.stuckMs
  }

  frontendsOf(service: ServiceName): readonly Frontend[] {
    return (this.#frontends.get(service)?.frontends ?? []).filter((each) => this.lb.desired(each.id) === each)
  }

  problemsOf(service: ServiceName): readonly Problem[] {
    return [...(this.#frontends.get(service)?.problems ?? []), ...this.#conflicts(service)]
  }

  /** Of all services, and of routes. */
  *problems(): Iterable<Problem> {
    for (const { problems } of this.#frontends.values()) yield* problems
    yield* this.#conflicts()
    yield* this.#routeProblems
    for (const planner of this.#allPlanners()) {
      for (const [owner, error] of planner.failing()) {
        yield {
          code: 'not-computed',
          message: `${owner}: ${error.message}`,
          hint: 'this is a bug: please report it with the log of the agent',
        }
      }
    }
  }

  /** Addresses of this node that came or went. */
  onNodeAddresses(changed: readonly Address[]): void {
    this.#planners.ipcache.markAll(changed.map(hostPrefix))
    this.#planners.endpoints.mark(ALL)
    this.#markServices((service) => service.type !== 'ClusterIP')
  }

  #onChange(change: Change): void {
    const { snapshot } = this.#options
    this.#planners.ipcache.markAll(this.#prefixes.prefixesOf(snapshot, change))
    if (change.table === 'pods' || change.table === 'nodes') this.#planners.endpoints.mark(ALL)
    if (change.table === 'pods' && snapshot.isSynced(LOCAL_SOURCE)) this.#planners.podHooks?.mark(ALL)
    if (change.table === 'nodes') {
      this.#planners.routes?.mark(ALL)
      const { clusterName, nodeName } = snapshot.local
      if (change.key === `${clusterName}/${nodeName}`) {
        this.#markServices((service) => service.type !== 'ClusterIP')
        this.#markHostPorts()
      } else this.#markServices((service) => this.#claimsNode(service, change.key))
    }
    if (change.table === 'pods') this.#onPod(change.key)
    if (change.table === 'clusters' || change.table === 'reach') this.#onCluster(change.key)
    if (change.service !== undefined && snapshot.isSynced(LOCAL_SOURCE)) this.#planners.lb.mark(change.service)
  }

  #onPod(key: string): void {
    const { snapshot } = this.#options
    const pod = snapshot.tables.pods.get(key)
    const concerned = (pod !== undefined && pod.hostPorts.length > 0) || this.#frontends.has(POD + key)
    if (concerned && snapshot.isSynced(LOCAL_SOURCE)) this.#planners.lb.mark(POD + key)
  }

  #markHostPorts(): void {
    const { snapshot } = this.#options
    if (!snapshot.isSynced(LOCAL_SOURCE)) return
    for (const pod of snapshot.tables.pods.by('node', snapshot.local.nodeName)) this.#onPod(pod.key)
  }

  /** A load-balancer address that turns out to be a node's is not the service's alone. */
  #claimsNode(service: Service, key: string): boolean {
    if (service.loadBalancerIPs.length === 0) return false
    const addresses = this.#options.snapshot.tables.nodes.get(key)?.addresses ?? []
    return addresses.some(({ address }) => service.loadBalancerIPs.includes(address))
  }

  /** Counters of a cluster change all the time; only what selection looks at concerns its services. */
  #onCluster(name: string): void {
    const { clusters, reach } = this.#options.snapshot.tables
    const cluster = clusters.get(name)
    const avoided = cluster?.unreachable === true && reach.get(name)?.answers !== true
    const seen = cluster === undefined ? '' : `${cluster.id} ${avoided} ${cluster.state === 'removed'}`
    if ((this.#clusterSeen.get(name) ?? '') === seen) return
    if (cluster === undefined) this.#clusterSeen.delete(name)
    else this.#clusterSeen.set(name, seen)
    this.#markServices((service) => service.mesh.global)
  }

  #onSync(source: string): void {
    const { sync, log } = this.#options
    log.info({ source, waitingFor: sync.closed() }, 'first list complete')
    this.#markServices((service) => source === LOCAL_SOURCE || service.mesh.global)
    if (source === LOCAL_SOURCE) {
      this.#planners.podHooks?.mark(ALL)
      this.#markHostPorts()
    }
    void this.#pruneWhenIdle()
  }

  async #pruneWhenIdle(): Promise<void> {
    await this.idle()
    const { sync } = this.#options
    if (!sync.isOpen(LOCAL_SOURCE)) return
    this.lb.allowPrune()
    this.endpoints.allowPrune()
    if (sync.closed().length > 0) return
    this.ipcache.allowPrune()
    this.routes?.allowPrune()
  }

  #markServices(concerned: (service: Service) => boolean): void {
    if (!this.#options.snapshot.isSynced(LOCAL_SOURCE)) return
    for (const service of this.#options.snapshot.tables.services.values()) {
      if (concerned(service)) this.#planners.lb.mark(service.name)
    }
  }

  #computeFrontends(owner: string): ReadonlyMap<string, Frontend> {
    const { snapshot } = this.#options
    const desired = owner.startsWith(POD)
      ? desiredHostPorts(snapshot, snapshot.tables.pods.get(owner.slice(POD.length)))
      : desiredFrontends(snapshot, owner as ServiceName)
    if (desired.frontends.length === 0 && desired.problems.length === 0) this.#frontends.delete(owner)
    else this.#frontends.set(owner, desired)
    return new Map(desired.frontends.map((each) => [each.id, each]))
  }

  #computePrefix(prefix: string): ReadonlyMap<string, IpcacheEntry> {
    const entry = desiredIpcache(this.#options.snapshot, prefix)
    return new Map(entry === undefined ? [] : [[prefix, entry]])
  }

  #computePodHooks(): ReadonlyMap<string, EndpointEntry> {
    return new Map([...desiredEndpoints(this.#options.snapshot)].filter(([, entry]) => !entry.isHost))
  }

  #computeRoutes(): ReadonlyMap<string, RouteEntry> {
    const { routes, problems } = planRoutes(this.#options.snapshot)
    this.#routeProblems = problems
    return routes
  }

  *#conflicts(service?: string): Iterable<Problem> {
    for (const { winner, losers } of this.lb.conflicts()) {
      // Services that share an address all keep it to themselves.
      if (winner.value.type === 'Wildcard') continue
      for (const loser of losers) {
        if (service !== undefined && service !== loser.owner) continue
        yield frontendConflict(winner.owner, winner.value, loser.owner, loser.value)
      }
    }
  }

  #reconcilers(): Reconciler<object>[] {
    return [this.endpoints, this.lb, this.ipcache, this.podHooks, this.routes].filter((each) => each !== undefined)
  }

  #allPlanners(): Planner<object>[] {
    const { endpoints, lb, ipcache, podHooks, routes } = this.#planners
    return [endpoints, lb, ipcache, podHooks, routes].filter((each) => each !== undefined)
  }
}
