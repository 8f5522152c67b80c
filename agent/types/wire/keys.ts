import type { MeshResource } from '../cluster.ts'

/**
 * Where everything is in etcd (Cilium 1.17/1.18 layout, no leading slash).
 *
 * | what | key |
 * |---|---|
 * | heartbeat | `cilium/.heartbeat` |
 * | cluster config | `cilium/cluster-config/<cluster>` |
 * | nodes | `cilium/state/nodes/v1/<cluster>/<node>` |
 * | services | `cilium/state/services/v1/<cluster>/<namespace>/<name>` |
 * | addresses | `cilium/state/ip/v1/default/<ip>[/<bits>]` |
 * | identities | `cilium/state/identities/v1/id/<number>` |
 * | canary | `cilium/synced/<cluster>/<state or cache>/<resource>/v1` |
 *
 * A copy held by kvstoremesh has `cilium/cache` for `cilium/state` and the remote cluster's name in every key.
 */
export const HEARTBEAT_KEY = 'cilium/.heartbeat'

export function clusterConfigKey(cluster: string): string {
  return `cilium/cluster-config/${cluster}`
}

/** Wire names of the resources; `serviceexports` has a canary only: we export none, and readers wait for all five. */
const PATHS: Readonly<Record<MeshResource, string>> = {
  nodes: 'nodes/v1',
  services: 'services/v1',
  endpoints: 'ip/v1',
  identities: 'identities/v1',
}

/** Prefix under which a resource of `cluster` is found, trailing slash included so that `east` does not match `east2`. */
export function resourcePrefix(resource: MeshResource, cluster: string, cached: boolean): string {
  const root = `${cached ? 'cilium/cache' : 'cilium/state'}/${PATHS[resource]}`
  switch (resource) {
    case 'nodes':
    case 'services':
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

export function canaryKey(resource: MeshResource | 'serviceexports', cluster: string, cached = false): string {
  const path = resource === 'serviceexports' ? 'serviceexports/v1' : PATHS[resource]
  return `${canaryPrefix(cluster)}${cached ? 'cilium/cache' : 'cilium/state'}/${path}`
}

const CLUSTER_NAME = /^([a-z0-9][-a-z0-9]*)?[a-z0-9]$/

export function isClusterName(name: string): boolean {
  return name.length <= 32 && CLUSTER_NAME.test(name)
}

/** Highest cluster id with the default layout of identities (8 bits). */
export const MAX_CLUSTER_ID = 255
