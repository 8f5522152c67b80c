import type { Clock } from '../../lib/clock.ts'
import type { ClusterConfig } from '../../types/wire/cluster-config.ts'
import type { EtcdSession } from '../../lib/etcd-session.ts'
import { delay } from '../../lib/clock.ts'
import { EtcdError } from '../../lib/etcd.ts'
import { describeError } from '../../lib/errors.ts'
import { MESH_RESOURCES } from '../../types/cluster.ts'
import { decodeClusterConfig, encodeClusterConfig } from '../../types/wire/cluster-config.ts'
import type { WireResource } from '../../types/wire/keys.ts'
import { CACHE_HEARTBEAT_KEY, canaryKey, canaryPrefix, clusterConfigKey, HEARTBEAT_KEY } from '../../types/wire/keys.ts'
import { prefixEnd } from '../../lib/etcd.ts'
import { PeerError } from './cluster-ids.ts'
import type { PeerSigns } from './peer-signs.ts'

export interface PeerConfig {
  readonly config: ClusterConfig
  /**
   * Names the store the record was found in: the lease is drawn at random, so that even an etcd that was emptied and came
   * back under the same cluster id differs. Undefined when the record has no lease: then nothing tells stores apart.
   */
  readonly store: string | undefined
  readonly revision: bigint
  /** Whose heartbeat it is that keeps the records true: the exporter's, or that of whoever copies. */
  readonly heartbeatKey: string
  /** Revision that last wrote it; undefined when there is none. */
  readonly heartbeat: string | undefined
  /** The time in the copier's last heartbeat, by its clock; undefined when no copier writes one. */
  readonly copierAt: number | undefined
}

/**
 * Reads what the peer says about itself, waiting for as long as it says nothing: a fresh etcd is empty at first.
 *
 * The heartbeat is read first, because it is the one key that every user of the peer's etcd may read.
 * @throws PeerError when the record cannot be used; EtcdError when the session ends
 */
export async function readPeerConfig(
  session: EtcdSession,
  peer: { readonly name: string; readonly clock: Clock },
  onWait: (message: string) => void,
): Promise<PeerConfig> {
  const exporter = (await session.get(HEARTBEAT_KEY)).kv?.mod_revision
  const key = clusterConfigKey(peer.name)
  for (let attempt = 0; ; attempt++) {
    const { kv, revision } = await session.get(key)
    if (kv !== undefined) {
      const config = decode(peer.name, key, kv.value.toString('utf8'))
      const store =
        kv.lease === '0' ? undefined : `${session.clusterId}/${kv.create_revision}/${kv.lease}/${config.cached}`
      const copier = config.cached ? (await session.get(CACHE_HEARTBEAT_KEY)).kv : undefined
      const heartbeatKey = copier === undefined ? HEARTBEAT_KEY : CACHE_HEARTBEAT_KEY
      const heartbeat = copier?.mod_revision ?? exporter
      return { config, store, revision, heartbeatKey, heartbeat, copierAt: timeOf(copier?.value) }
    }
    onWait(`connected; waiting for ${key}`)
    await delay(peer.clock, Math.min(500 * 2 ** attempt, 5000), session.ended)
  }
}

function timeOf(text: Buffer | undefined): number | undefined {
  const ms = Date.parse(text?.toString('utf8') ?? '')
  return Number.isNaN(ms) ? undefined : ms
}

function decode(name: string, key: string, text: string): ClusterConfig {
  try {
    return decodeClusterConfig(text)
  } catch (cause) {
    throw new PeerError('cluster-config-invalid', `cluster ${name}: ${key} ${describeError(cause)}`, {
      hint: `the exporter of ${name} has to write that key anew`,
      cause,
    })
  }
}

/** Whether both say the same about the cluster; what a copier says about its connection may differ. */
function sameCluster(text: string, config: ClusterConfig): ClusterConfig | undefined {
  try {
    const found = decodeClusterConfig(text)
    const bare = (each: ClusterConfig): string => encodeClusterConfig({ ...each, link: undefined })
    return bare(found) === bare(config) ? found : undefined
  } catch {
    return undefined // the next session says what is wrong with it
  }
}

/** Ends the session when the peer says something else about itself, or when its heartbeat stops. */
export async function watchPeer(
  session: EtcdSession,
  clock: Clock,
  name: string,
  peer: PeerConfig,
  signs: PeerSigns,
): Promise<void> {
  const { heartbeat } = signs
  if (peer.heartbeat !== undefined) heartbeat.seen(peer.heartbeat)
  await session.watch(
    { key: clusterConfigKey(name), prefix: false, from: peer.revision + 1n },
    {
      events: (events) => {
        const { type, kv } = events.at(events.length - 1)
        if (type === 'Delete') return // says nothing: a lease ran out
        const same = sameCluster(kv.value.toString('utf8'), peer.config)
        if (same !== undefined) return signs.changed(same)
        session.close(new EtcdError('cluster-config-changed', `cluster ${name} changed its cluster-config`))
      },
      progress: () => undefined,
      compacted: () => session.close(new EtcdError('etcd-compacted', 'history was compacted while connecting')),
    },
  )
  let disarm: () => void = () => undefined
  const beat = (): void => {
    disarm()
    disarm = clock.after(heartbeat.staleMs, () =>
      session.close(new EtcdError('heartbeat-stale', `cluster ${name}: ${peer.heartbeatKey} is no longer written`)),
    )
  }
  // One that was stale before is known to be: a new connection did not help, and another one would not either.
  if (peer.heartbeat !== undefined && !heartbeat.stale) beat()
  session.ended.addEventListener('abort', () => disarm(), { once: true })
  await session.watch(
    { key: peer.heartbeatKey, prefix: false, from: peer.revision + 1n },
    {
      events: (events) => {
        const last = [...events].findLast(({ type }) => type !== 'Delete')
        if (last === undefined) return
        heartbeat.seen(last.kv.mod_revision)
        beat()
      },
      progress: () => undefined,
      compacted: () => session.close(new EtcdError('etcd-compacted', 'history was compacted while connecting')),
    },
  )
}

/**
 * Watches the canaries of `name`; the function returned resolves once that of a resource was seen. Without canaries in the
 * peer's capabilities it resolves at once. That a canary goes away later means nothing.
 */
export async function watchCanaries(
  session: EtcdSession,
  name: string,
  config: ClusterConfig,
  resources: readonly WireResource[] = MESH_RESOURCES,
): Promise<(resource: WireResource) => Promise<void>> {
  if (!config.syncedCanaries) return async () => undefined
  const seen = new Map<string, { readonly promise: Promise<void>; readonly resolve: () => void }>()
  for (const resource of resources) {
    let resolve: () => void = () => undefined
    const promise = new Promise<void>((done) => (resolve = done))
    seen.set(canaryKey(resource, name, config.cached), { promise, resolve })
  }
  const prefix = canaryPrefix(name)
  const list = await session.range({ key: Buffer.from(prefix), range_end: prefixEnd(prefix), keys_only: true })
  for (const kv of list.kvs) seen.get(kv.key.toString('utf8'))?.resolve()
  await session.watch(
    { key: prefix, prefix: true, from: BigInt(list.header.revision) + 1n },
    {
      events: (events) => {
        for (const { type, kv } of events) if (type !== 'Delete') seen.get(kv.key.toString('utf8'))?.resolve()
      },
      progress: () => undefined,
      compacted: () => session.close(new EtcdError('etcd-compacted', 'history was compacted while connecting')),
    },
  )
  return (resource) => seen.get(canaryKey(resource, name, config.cached))!.promise
}
