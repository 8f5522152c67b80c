import type { Log, LogLevel } from '../lib/log.ts'
import type { EtcdEndpoint } from '../lib/etcd.ts'
import type { ExporterReport } from '../api/types.ts'
import { certificateReport } from '../api/clustermesh.ts'
import { apiserverSamples } from '../api/metrics/exporter.ts'
import { MetricsServer } from '../api/metrics/server.ts'
import { systemClock } from '../lib/clock.ts'
import { createLog } from '../lib/log.ts'
import { startHealth } from '../api/health.ts'
import { EtcdCredentials } from './etcd-credentials.ts'
import { MeshExport } from './mesh-export.ts'
import { startManifestSource } from '../sources/manifests/source.ts'
import { LOCAL_SOURCE, SyncGates } from '../state/sync.ts'
import { createTables } from '../state/tables.ts'
import { Writer } from '../state/writer.ts'
import { Announcer } from '../targets/etcd/announcer.ts'
import { RoleKeeper } from '../targets/etcd/role-keeper.ts'
import { LeasedStore } from '../targets/etcd/leased-store.ts'
import { MAX_CLUSTER_ID } from '../types/wire/keys.ts'

export interface ApiserverSettings {
  readonly clusterName: string
  readonly clusterId: number
  /** Directory of Kubernetes manifests that describe the cluster. */
  readonly manifests: string
  readonly etcdEndpoints: readonly string[]
  /** With a client certificate (of admin-<cluster>), users and roles of the etcd are kept in order. */
  readonly etcdCaFile?: string | undefined
  readonly etcdCertFile?: string | undefined
  readonly etcdKeyFile?: string | undefined
  readonly meshUsers?: string | undefined
  /** Unix socket that answers `GET /readyz`, as `healthPort` does, and `GET /v1/status`. */
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
  /** Default: JSON lines on stderr. */
  readonly log?: Log | undefined
}

/**
 * `weft clustermesh-apiserver`: exports a cluster to its etcd, for agents of other clusters to read. Resolves when `signal` is
 * aborted and everything has stopped; what was exported stays for as long as its leases live, so that a restart is no loss.
 *
 * @throws ConfigError when the directory of manifests cannot be used; ApiSocketError when a listening address cannot
 */
export async function runApiserver(config: ApiserverSettings, signal: AbortSignal): Promise<void> {
  const log = config.log ?? createLog(config.logLevel, 'clustermesh-apiserver')
  const cluster = { name: config.clusterName, id: config.clusterId }
  const endpoint: EtcdEndpoint = {
    endpoints: config.etcdEndpoints,
    caFile: config.etcdCaFile,
    certFile: config.etcdCertFile,
    keyFile: config.etcdKeyFile,
  }
  const shared = { clock: systemClock, random: Math.random, log }

  const tables = createTables()
  const sync = new SyncGates()
  sync.register(LOCAL_SOURCE)
  const writer = new Writer(tables, sync)
  const stops: (() => Promise<unknown>)[] = []

  try {
    const store = new LeasedStore({
      endpoint,
      clock: systemClock,
      log,
      ...(config.leaseTtlSeconds === undefined ? {} : { ttlSeconds: config.leaseTtlSeconds }),
    })
    stops.push(() => store.close())
    const meshExport = new MeshExport({ cluster, tables, writer, sync, store, ...shared })
    stops.push(() => meshExport.stop())

    const credentials = new EtcdCredentials({
      ...{ who: 'the own etcd', clock: systemClock, log },
      onProblems: (problems) => writer.setProblems('etcd/certificates', problems),
    })
    credentials.follow(endpoint)
    stops.push(() => credentials.stop())
    const report = (): ExporterReport => {
      const problems = [...tables.problems.values()].flatMap((set) => set.problems)
      const { ready } = meshExport
      return {
        ...{ ok: ready && problems.length === 0, problems, version: config.version ?? '', cluster, ready },
        etcd: config.etcdEndpoints,
        ...(credentials.certificates.length === 0
          ? {}
          : { certificates: credentials.certificates.map(certificateReport) }),
        clusterMesh: { clusters: [], 'num-global-services': 0 },
      }
    }

    const health = await startHealth({
      ready: () => meshExport.ready,
      answers: { '/v1/status': report },
      port: config.healthPort,
      socket: config.apiSocket,
      log,
    })
    stops.push(() => health.close())
    if (config.prometheusServeAddr !== undefined) {
      const metrics = await MetricsServer.start({
        ...{ address: config.prometheusServeAddr, clock: systemClock, log },
        samples: () => apiserverSamples(report(), meshExport.stats),
        onProblems: (problems) => writer.setProblems('metrics', problems),
      })
      stops.push(() => metrics.close())
    }

    const source = await startManifestSource({
      directory: config.manifests,
      cluster: cluster.name,
      writer,
      clock: systemClock,
      log,
    })
    stops.push(() => source.stop())

    if (config.etcdCertFile !== undefined) {
      const roles = new RoleKeeper({ endpoint, cluster: cluster.name, usersFile: config.meshUsers, ...shared })
      stops.push(() => roles.stop())
      await Promise.race([roles.start().catch(() => undefined), aborted(signal)])
      if (signal.aborted) return
    }

    const announcer = new Announcer({
      store,
      endpoint,
      cluster: cluster.name,
      config: {
        id: cluster.id,
        syncedCanaries: true,
        cached: false,
        maxConnectedClusters: MAX_CLUSTER_ID,
        serviceExportsEnabled: false,
      },
      ...shared,
    })
    announcer.start()
    stops.push(() => announcer.stop())

    log.info({ cluster, etcd: config.etcdEndpoints, manifests: config.manifests }, 'exporting')
    await meshExport.start(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
    await aborted(signal)
    log.info({}, 'stopping; the records stay until their leases end')
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
