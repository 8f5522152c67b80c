import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { SyncGates } from '../../state/sync.ts'
import type { Writer } from '../../state/writer.ts'
import type { CredentialTiming } from './cluster-credentials.ts'
import { EtcdChannels } from '../../lib/etcd-channel.ts'
import { ClusterIds } from './cluster-ids.ts'
import { ConfigDir } from './config-dir.ts'
import { RemoteCluster } from './remote-cluster.ts'

export interface MeshSourceOptions {
  /** One file per remote cluster: etcd client YAML, named as the cluster. */
  readonly configDir: string
  /** The own cluster. */
  readonly cluster: { readonly name: string; readonly id: number }
  readonly writer: Writer
  readonly sync: SyncGates
  readonly clock: Clock
  /** [0, 1): spreads reconnects. */
  readonly random: () => number
  readonly log: Log
  /** Silence after which a cluster's backends are avoided; default 10 s. */
  readonly unreachableAfterMs?: number
  /** Silence after which they are removed; default 5 min. */
  readonly cacheTtlMs?: number
  /** How long a returned cluster must be in step before its backends are taken again; default 2 s. */
  readonly holdDownMs?: number
  /** How soon replaced certificates are noticed, and used. */
  readonly credentials?: CredentialTiming
  /** How long a cluster's exporter may be without a heartbeat; default 130 s. */
  readonly heartbeatStaleMs?: number
  readonly signal?: AbortSignal
}

/**
 * Imports every cluster that has a file in `configDir`, now and later. Resolves once the directory was read, so that the
 * gates of all configured clusters are registered; it does not wait for any of them to answer.
 *
 * `stop` ends the connections and leaves all rows: an agent that goes down must not take routes and backends with it.
 */
export async function startMeshSource(options: MeshSourceOptions): Promise<{ stop(): Promise<void> }> {
  const { writer, clock } = options
  const log = options.log.child({ source: 'mesh' })
  const ids = new ClusterIds(options.cluster)
  const channels = new EtcdChannels()
  const clusters = new Map<string, RemoteCluster>()
  /** Removals under way: a cluster that is added again waits for its own to end. */
  const leaving = new Map<string, Promise<void>>()
  let stopped = false

  const connect = (name: string, endpoint: ConstructorParameters<typeof RemoteCluster>[0]['endpoint']): void => {
    if (stopped) return
    const known = clusters.get(name)
    if (known !== undefined) return known.reconfigure(endpoint)
    const cluster = new RemoteCluster({
      unreachableAfterMs: options.unreachableAfterMs ?? 10_000,
      cacheTtlMs: options.cacheTtlMs ?? 300_000,
      holdDownMs: options.holdDownMs ?? 2000,
      heartbeatStaleMs: options.heartbeatStaleMs,
      credentials: options.credentials,
      ...{ name, endpoint, writer, sync: options.sync, ids, channels, clock, random: options.random, log },
    })
    clusters.set(name, cluster)
    cluster.start()
  }

  const directory = new ConfigDir({
    path: options.configDir,
    ownCluster: options.cluster.name,
    clock,
    log,
    handler: {
      upsert(name, endpoint) {
        const removal = leaving.get(name)
        if (removal === undefined) connect(name, endpoint)
        else void removal.then(() => connect(name, endpoint))
      },
      remove(name) {
        const cluster = clusters.get(name)
        if (cluster === undefined) return
        log.info({ cluster: name }, 'cluster removed from the configuration')
        clusters.delete(name)
        const removal = cluster
          .remove()
          .catch((error: unknown) => log.error({ cluster: name, err: error }, 'removal failed'))
          .finally(() => leaving.delete(name))
        leaving.set(name, removal)
      },
      problems: (name, problems) => writer.setProblems(`mesh-config/${name}`, problems),
    },
  })

  const stop = async (): Promise<void> => {
    stopped = true
    options.signal?.removeEventListener('abort', onAbort)
    await directory.stop()
    await Promise.all([...leaving.values(), ...[...clusters.values()].map((cluster) => cluster.stop())])
  }
  const onAbort = (): void => {
    stop().catch((error: unknown) => log.error({ err: error }, 'stopping failed'))
  }
  options.signal?.addEventListener('abort', onAbort, { once: true })
  await directory.start()
  return { stop }
}
