import { MESH_RESOURCES } from '../cluster.ts'

/**
 * Where everything is in etcd (Cilium 1.17/1.18 layout, no leading slash).
 *
 * | what | key |
 * |---|---|
 * | heartbeat | `cilium/.heartbeat` |
 * | heartbeat of kvstoremesh | `cilium/cache/.heartbeat` (ours: Cilium looks at nothing beside its resources there) |
 * | cluster config | `cilium/cluster-config/<cluster>` |
 * | nodes | `cilium/state/nodes/v1/<cluster>/<node>` |
 * | services | `cilium/state/services/v1/<cluster>/<namespace>/<name>` |
 * | addresses | `cilium/state/ip/v1/default/<ip>[/<bits>]` |
 * | identities | `cilium/state/identities/v1/id/<number>` |
 * | service exports | `cilium/state/serviceexports/v1/<cluster>/<namespace>/<name>` |
 * | canary | `cilium/synced/<cluster>/<state or cache>/<resource>/v1` |
 *
 * A copy held by kvstoremesh has `cilium/cache` for `cilium/state` and the remote cluster's name in every key.
 */
export const HEARTBEAT_KEY = 'cilium/.heartbeat'
/** Whoever reads `cilium/.heartbeat` in Cilium takes every key that begins so; and `local` users may read the cache. */
export const CACHE_HEARTBEAT_KEY = 'cilium/cache/.heartbeat'

export function clusterConfigKey(cluster: string): string {
  return `cilium/cluster-config/${cluster}`
}

/** What is in a cluster's etcd. Of service exports we write the canary only: we have none, and readers wait for all five. */
export const WIRE_RESOURCES = [...MESH_RESOURCES, 'serviceexports'] as const
export type WireResource = (typeof WIRE_RESOURCES)[number]

const PATHS: Readonly<Record<WireResource, string>> = {
  nodes: 'nodes/v1',
  services: 'services/v1',
  endpoints: 'ip/v1',
  identities: 'identities/v1',
  serviceexports: 'serviceexports/v1',
}

/** Copies of a resource of all clusters; the next element of each key is a cluster's name. */
export function cacheRoot(resource: WireResource): string {
  return `cilium/cache/${PATHS[resource]}/`
}

/** Prefix under which a resource of `cluster` is found, trailing slash included so that `east` does not match `east2`. */
export function resourcePrefix(resource: WireResource, cluster: string, cached: boolean): string {
  const root = `${cached ? 'cilium/cache' : 'cilium/state'}/${PATHS[resource]}`
  switch (resource) {
    case 'nodes':
    case 'services':
    case 'serviceexports':
      return `${root}/${cluster}/`
    case 'endpoints':
      return cached ? `${root}/${cluster}/` : `${root}/default/`
    case 'identities':
      return cached ? `${root}/${cluster}/id/` : `${root}/id/`
  }
}

export function canaryPrefix(cluster: string): string {
  return `cilium/synced/${cluster}/`
}

export function canaryKey(resource: WireResource, cluster: string, cached = false): string {
  return `${canaryPrefix(cluster)}${cached ? 'cilium/cache' : 'cilium/state'}/${PATHS[resource]}`
}

const CLUSTER_NAME = /^([a-z0-9][-a-z0-9]*)?[a-z0-9]$/

export function isClusterName(name: string): boolean {
  return name.length <= 32 && CLUSTER_NAME.test(name)
}

/** Highest cluster id with the default layout of identities (8 bits). */
export const MAX_CLUSTER_ID = 255
