import type { ClusterLink } from './cluster-link.ts'
import { decodeLink, encodeLink } from './cluster-link.ts'
import { boolField, field, goStruct, objectField, parseObject, uint32Field, WireError } from './go-json.ts'

/** What a cluster says about itself under `cilium/cluster-config/<name>`. */
export interface ClusterConfig {
  readonly id: number
  /** Canaries exist; readers must wait for them. */
  readonly syncedCanaries: boolean
  /** The data is a kvstoremesh copy under `cilium/cache`. */
  readonly cached: boolean
  /** 255 or 511; 0 when not said. */
  readonly maxConnectedClusters: number
  /** Undefined: too old for service exports; false: supported but off. */
  readonly serviceExportsEnabled: boolean | undefined
  /** Of a copy: what its writer knows of the cluster. */
  readonly link?: ClusterLink | undefined
}

export function encodeClusterConfig(config: ClusterConfig): string {
  return goStruct([
    ['id', config.id === 0 ? undefined : String(config.id)],
    [
      'capabilities',
      goStruct([
        ['syncedCanaries', config.syncedCanaries ? 'true' : undefined],
        ['cached', config.cached ? 'true' : undefined],
        ['maxConnectedClusters', config.maxConnectedClusters === 0 ? undefined : String(config.maxConnectedClusters)],
        ['serviceExportsEnabled', config.serviceExportsEnabled?.toString()],
      ]),
    ],
    ['link', config.link === undefined ? undefined : encodeLink(config.link)],
  ])
}

/** Throws WireError. */
export function decodeClusterConfig(text: string): ClusterConfig {
  const object = parseObject(text)
  const capabilities = objectField(object, 'capabilities')
  const exports = field(capabilities, 'serviceExportsEnabled')
  if (exports !== undefined && typeof exports !== 'boolean') {
    throw new WireError('field serviceExportsEnabled is not true or false')
  }
  const link = decodeLink(object)
  return {
    id: uint32Field(object, 'id'),
    syncedCanaries: boolField(capabilities, 'syncedCanaries'),
    cached: boolField(capabilities, 'cached'),
    maxConnectedClusters: uint32Field(capabilities, 'maxConnectedClusters'),
    serviceExportsEnabled: exports,
    ...(link === undefined ? {} : { link }),
  }
}
