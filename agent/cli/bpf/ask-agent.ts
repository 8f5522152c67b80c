import type { Api } from '../../api/client.ts'
import { ApiClientError } from '../../api/errors.ts'

/**
 * What maps do not hold and a running agent knows. Without one these are empty: the maps are read all the same.
 */

/** Names of clusters by id. */
export async function clusterNames(api: Api): Promise<ReadonlyMap<number, string>> {
  const status = await unlessAlone(() => api.status())
  if (status === undefined) return new Map()
  const names = new Map(status.clusterMesh.clusters.map((each) => [each.config['cluster-id'], each.name]))
  names.set(status.cluster.id, status.cluster.name)
  names.delete(0)
  return names
}

/** Frontends (`10.2.47.149:80/TCP`, with `/i` for the inner view) of services that are merged over all clusters. */
export async function globalFrontends(api: Api): Promise<ReadonlySet<string> | undefined> {
  const services = await unlessAlone(() => api.services())
  if (services === undefined) return undefined
  const found = new Set<string>()
  for (const { spec } of services) {
    if (spec.flags.global !== true) continue
    const { ip, port, protocol, scope } = spec['frontend-address']
    found.add(`${ip}:${port}/${protocol}${scope === 'internal' ? '/i' : ''}`)
  }
  return found
}

async function unlessAlone<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof ApiClientError) return undefined
    throw error
  }
}
