import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { EtcdEndpoint } from '../lib/etcd.ts'
import { prefixEnd } from '../lib/etcd.ts'
import { EtcdSession } from '../lib/etcd-session.ts'
import { MESH_RESOURCES } from '../types/cluster.ts'
import type { ClusterConfig } from '../types/wire/cluster-config.ts'
import { decodeClusterConfig } from '../types/wire/cluster-config.ts'
import { canaryKey, canaryPrefix, clusterConfigKey, HEARTBEAT_KEY } from '../types/wire/keys.ts'

/** What an agent finds in a remote etcd before it reads a single record. Steps that were not come to are undefined. */
export interface EtcdProbe {
  readonly clusterId: string | undefined
  /** The read of the heartbeat, which is the one key every user may read. */
  readonly error: string | undefined
  /** Text of the heartbeat; undefined when there is none. */
  readonly heartbeat: string | undefined
  readonly config: ClusterConfig | { readonly error: string } | undefined
  /** Wire names of resources by whether their canary is there. */
  readonly canaries:
    readonly { readonly resource: string; readonly seen: boolean }[] | { readonly error: string } | undefined
}

/** Reads heartbeat, cluster-config and canaries as an agent would. Never rejects. */
export async function probeEtcd(
  name: string,
  endpoint: EtcdEndpoint,
  timeoutMs: number,
  clock: Clock,
): Promise<EtcdProbe> {
  const nothing = {
    clusterId: undefined,
    error: undefined,
    heartbeat: undefined,
    config: undefined,
    canaries: undefined,
  }
  let session: EtcdSession
  try {
    session = new EtcdSession({ endpoint, clock, pingMs: timeoutMs, onAlive: () => undefined })
  } catch (error) {
    return { ...nothing, error: describeError(error) }
  }
  const cancel = clock.after(timeoutMs, () => session.close(new Error(`no answer within ${timeoutMs} ms`)))
  try {
    const heartbeat = await guarded(session, session.get(HEARTBEAT_KEY))
    if (heartbeat instanceof Error) return { ...nothing, clusterId: session.clusterId, error: describeError(heartbeat) }
    const found = {
      ...nothing,
      clusterId: session.clusterId,
      heartbeat: heartbeat.kv?.value.toString('utf8'),
    }
    const config = await guarded(session, session.get(clusterConfigKey(name)))
    if (config instanceof Error) return { ...found, config: { error: describeError(config) } }
    if (config.kv === undefined) return { ...found, config: { error: `${clusterConfigKey(name)} is not there` } }
    const decoded = decode(config.kv.value.toString('utf8'))
    if ('error' in decoded) return { ...found, config: decoded }
    return { ...found, config: decoded, canaries: await readCanaries(session, name, decoded) }
  } finally {
    cancel()
    session.close(new Error('probe ended'))
  }
}

/** The answer, or the reason why there is none: its own, or that of the whole session. */
function guarded<T>(session: EtcdSession, answer: Promise<T>): Promise<T | Error> {
  return Promise.race([answer, session.failure]).catch((error: unknown) => error as Error)
}

function decode(text: string): ClusterConfig | { readonly error: string } {
  try {
    return decodeClusterConfig(text)
  } catch (error) {
    return { error: describeError(error) }
  }
}

async function readCanaries(session: EtcdSession, name: string, config: ClusterConfig): Promise<EtcdProbe['canaries']> {
  if (!config.syncedCanaries) return []
  const prefix = canaryPrefix(name)
  const list = await guarded(
    session,
    session.range({ key: Buffer.from(prefix), range_end: prefixEnd(prefix), keys_only: true }),
  )
  if (list instanceof Error) return { error: describeError(list) }
  const keys = new Set(list.kvs.map((kv) => kv.key.toString('utf8')))
  return MESH_RESOURCES.map((resource) => ({ resource, seen: keys.has(canaryKey(resource, name, config.cached)) }))
}
