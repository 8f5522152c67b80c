import type { Log, LogLevel } from '../lib/log.ts'
import type { Clock } from '../lib/clock.ts'
import type { EtcdEndpoint } from '../lib/etcd.ts'
import type { ConfigValue, ExporterReport } from '../api/types.ts'
import type { Cluster } from '../types/cluster.ts'
import type { Problem } from '../types/problem.ts'
import { readdir } from 'node:fs/promises'
import { certificateReport, clusterReport } from '../api/clustermesh.ts'
import { kvstoremeshSamples } from '../api/metrics/exporter.ts'
import { MetricsServer } from '../api/metrics/server.ts'
import { startHealth } from '../api/health.ts'
import { CachedCluster } from './cached-cluster.ts'
import { EtcdCredentials } from './etcd-credentials.ts'
import { describeError } from '../lib/errors.ts'
import { systemClock } from '../lib/clock.ts'
import { createLog } from '../lib/log.ts'
import { ClusterIds } from '../sources/mesh/cluster-ids.ts'
import { ConfigDir } from '../sources/mesh/config-dir.ts'
import { HeartbeatWriter } from '../targets/etcd/heartbeat-writer.ts'
import { CACHE_HEARTBEAT_KEY } from '../types/wire/keys.ts'
import { LeasedStore } from '../targets/etcd/leased-store.ts'
import { LocalCache } from '../targets/etcd/local-cache.ts'

export interface KvstoremeshSettings {
  readonly clusterName: string
  readonly clusterId: number
  /** Directory with one etcd client configuration for each remote cluster. */
  readonly clustermeshConfig: string
  /** Of the own cluster. */
  readonly etcdEndpoints: readonly string[]
  readonly etcdCaFile?: string | undefined
  readonly etcdCertFile?: string | undefined
  readonly etcdKeyFile?: string | undefined
  readonly apiSocket?: string | undefined
  /** 0 or undefined: none. */
  readonly healthPort?: number | undefined
  /** Undefined: no metrics. */
  readonly prometheusServeAddr?: string | undefined
  /** Of the program, for reports. */
  readonly version?: string | undefined
  readonly logLevel: LogLevel
  /** Life of the leases in etcd; default 15 min. */
  readonly leaseTtlSeconds?: number | undefined
  /** Silence of a cluster after which readers of its copy are told; default 6 s. */
  readonly silentAfterMs?: number | undefined
  /** How long a cluster's exporter may be without a heartbeat; default 130 s. */
  readonly heartbeatStaleMs?: number | undefined
  /** Every setting and where it came from, for people. */
  readonly values?: readonly ConfigValue[] | undefined
  readonly log?: Log | undefined
  readonly clock?: Clock | undefined
}

/** A cluster that has not answered by then is not waited for. */
const CLUSTER_READY_MS = 15_000
/** Readers have to learn of a silence before it lasts `unreachableAfter` (10 s). */
const SILENT_AFTER_MS = 6000
/** Nothing is waited for longer than that. */
const ALL_READY_MS = 600_000

/**
 * `weft kvstoremesh`: copies what remote clusters export into the own cluster's etcd, over one connection to each. Resolves
 * when `signal` is aborted and everything has stopped; the copies stay for as long as their leases live, and the next process
 * takes them over as they are.
 */
export async function runKvstoremesh(config: KvstoremeshSettings, signal: AbortSignal): Promise<void> {
  const log = config.log ?? createLog(config.logLevel, 'kvstoremesh')
  const clock = config.clock ?? systemClock
  const endpoint: EtcdEndpoint = {
    endpoints: config.etcdEndpoints,
    caFile: config.etcdCaFile,
    certFile: config.etcdCertFile,
    keyFile: config.etcdKeyFile,
  }
  const stops: (() => Promise<unknown>)[] = []
  try {
    const ttl = config.leaseTtlSeconds
    const store = new LeasedStore({
      ...{ endpoint, clock, log, form: 'latin1' },
      ...(ttl === undefined ? {} : { ttlSeconds: ttl }),
    })
    stops.push(() => store.close())
    const mesh = new Kvstoremesh(config, store, clock, log)
    mesh.ownCredentials.follow(endpoint)
    stops.push(() => mesh.ownCredentials.stop())
    const health = await startHealth({
      ready: () => mesh.ready,
      answers: { '/v1/status': () => mesh.status(), '/v1/config': () => config.values ?? [] },
      ...{ port: config.healthPort, socket: config.apiSocket, log },
    })
    stops.push(() => health.close())
    if (config.prometheusServeAddr !== undefined) {
      const metrics = await MetricsServer.start({
        ...{ address: config.prometheusServeAddr, clock, log },
        samples: () => kvstoremeshSamples(mesh.status()),
        onProblems: (problems) => mesh.setProblems('metrics', problems),
      })
      stops.push(() => metrics.close())
    }
    const cache = new LocalCache({ store, endpoint, cluster: config.clusterName, clock, random: Math.random, log })
    stops.push(() => cache.stop())
    stops.push(() => mesh.stop())
    const heart = new HeartbeatWriter({ store, key: CACHE_HEARTBEAT_KEY, clock, random: Math.random, log })
    stops.push(() => heart.stop())
    await mesh.start(await cache.load(signal))
    heart.start()
    cache.guard((cluster, found) => mesh.enforce(cluster, found))
    await aborted(signal)
    log.info({}, 'stopping; the copies stay until their leases end')
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

/** The clusters that are copied, as the directory has them. */
class Kvstoremesh {
  readonly #config: KvstoremeshSettings
  readonly #store: LeasedStore
  readonly #clock: Clock
  readonly #log: Log
  readonly #ids: ClusterIds
  readonly #directory: ConfigDir
  readonly #clusters = new Map<string, CachedCluster>()
  /** Those whose copies are on their way out. */
  readonly #leaving = new Map<string, CachedCluster>()
  readonly #ending = new Set<Promise<void>>()
  readonly #problems = new Map<string, readonly Problem[]>()
  readonly #credentials = new Map<string, EtcdCredentials>()
  /** Of the connection to the own etcd. */
  readonly ownCredentials: EtcdCredentials
  /** When the directory was read first. */
  #startedAt: number | undefined
  #ready = false
  #stopped = false

  constructor(config: KvstoremeshSettings, store: LeasedStore, clock: Clock, log: Log) {
    this.#config = config
    this.#store = store
    this.#clock = clock
    this.#log = log
    this.ownCredentials = this.#createCredentials('the own etcd')
    this.#ids = new ClusterIds({ name: config.clusterName, id: config.clusterId })
    this.#directory = new ConfigDir({
      path: config.clustermeshConfig,
      ownCluster: config.clusterName,
      ...{ clock, log },
      handler: {
        upsert: (name, endpoint) => this.#connect(name, endpoint),
        remove: (name) => {
          log.info({ cluster: name }, 'cluster removed from the configuration')
          const cluster = this.#clusters.get(name)
          if (cluster !== undefined) this.#remove(name, cluster)
        },
        problems: (name, problems) => this.setProblems(`config/${name}`, problems),
      },
    })
  }

  /** Once true, always true: what was copied once stays readable, whatever the connections do. */
  get ready(): boolean {
    if (this.#ready || this.#startedAt === undefined) return this.#ready
    const waited = this.#clock.now() - this.#startedAt
    const settled = (cluster: CachedCluster): boolean =>
      cluster.complete || (waited >= CLUSTER_READY_MS && cluster.row.etcdClusterId === undefined)
    return (this.#ready = waited >= ALL_READY_MS || [...this.#clusters.values()].every(settled))
  }

  setProblems(origin: string, problems: readonly Problem[]): void {
    this.#problems.set(origin, problems)
  }

  status(): ExporterReport {
    const all = [...this.#clusters.values(), ...this.#leaving.values()]
    const clusters = all.map((cluster) =>
      clusterReport(this.#rowOf(cluster), {
        nodes: cluster.count('nodes'),
        endpoints: cluster.count('endpoints'),
        identities: cluster.count('identities'),
        services: cluster.count('services'),
        serviceExports: cluster.count('serviceexports'),
      }),
    )
    const problems = [...this.#problems.values()].flat()
    const { certificates } = this.ownCredentials
    return {
      ok: problems.length === 0 && clusters.every(({ ready }) => ready),
      problems,
      version: this.#config.version ?? '',
      cluster: { name: this.#config.clusterName, id: this.#config.clusterId },
      ready: this.ready,
      ...(certificates.length === 0 ? {} : { certificates: certificates.map(certificateReport) }),
      clusterMesh: { clusters: clusters.sort((a, b) => (a.name < b.name ? -1 : 1)), 'num-global-services': 0 },
    }
  }

  /** Follows the directory; copies of clusters that it does not have, `found` by the names of all copies, are removed. */
  async start(found: ReadonlySet<string>): Promise<void> {
    await this.#directory.start()
    this.#startedAt = this.#clock.now()
    let names: ReadonlySet<string>
    try {
      names = new Set(await readdir(this.#config.clustermeshConfig))
    } catch (error) {
      this.#log.warn({ err: error }, `copies stay: which clusters are configured is not known: ${describeError(error)}`)
      return
    }
    for (const name of found) {
      // A file that cannot be used (yet) is still a cluster that somebody wants.
      if (names.has(name) || this.#clusters.has(name)) continue
      this.#log.info({ cluster: name }, 'the copy of a cluster that is no longer configured is removed')
      this.#remove(name, this.#create(name))
    }
  }

  enforce(name: string, found: string | undefined): void {
    this.#clusters.get(name)?.enforce(found)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#directory.stop()
    const all = [...this.#clusters.values(), ...this.#leaving.values()]
    await Promise.all([...all, ...this.#credentials.values()].map((each) => each.stop()))
    await Promise.all(this.#ending)
  }

  #create(name: string): CachedCluster {
    const shared = { store: this.#store, ids: this.#ids, clock: this.#clock, random: Math.random, log: this.#log }
    const { silentAfterMs = SILENT_AFTER_MS, heartbeatStaleMs } = this.#config
    return new CachedCluster({ name, silentAfterMs, heartbeatStaleMs, ...shared })
  }

  #createCredentials(who: string): EtcdCredentials {
    const onProblems = (problems: readonly Problem[]): void => this.setProblems(`certificates/${who}`, problems)
    return new EtcdCredentials({ who, clock: this.#clock, log: this.#log, onProblems })
  }

  #rowOf(cluster: CachedCluster): Cluster {
    const certificates = this.#credentials.get(cluster.row.name)?.certificates ?? []
    return { ...cluster.row, certificates }
  }

  #connect(name: string, endpoint: EtcdEndpoint): void {
    let credentials = this.#credentials.get(name)
    if (credentials === undefined) {
      this.#credentials.set(name, (credentials = this.#createCredentials(`cluster ${name}`)))
    }
    credentials.follow(endpoint)
    const known = this.#clusters.get(name)
    if (known !== undefined) return known.connect(endpoint)
    const cluster = this.#create(name)
    this.#clusters.set(name, cluster)
    const leaving = this.#leaving.get(name)
    if (leaving === undefined) return cluster.connect(endpoint)
    // It is back before its copy went: what is left of the copy is taken over.
    this.#track(
      leaving.stop().then(() => {
        if (!this.#stopped && this.#clusters.get(name) === cluster) cluster.connect(endpoint)
      }),
    )
  }

  #remove(name: string, cluster: CachedCluster): void {
    this.#clusters.delete(name)
    this.#leaving.set(name, cluster)
    const credentials = this.#credentials.get(name)
    this.#credentials.delete(name)
    if (credentials !== undefined) this.#track(credentials.end())
    this.#track(
      cluster
        .remove()
        .catch((error: unknown) => this.#log.debug({ cluster: name, err: error }, 'the copy did not go'))
        .finally(() => {
          if (this.#leaving.get(name) === cluster) this.#leaving.delete(name)
        }),
    )
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#log.error({ err: error }, describeError(error)))
      .finally(() => this.#ending.delete(tracked))
    this.#ending.add(tracked)
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
