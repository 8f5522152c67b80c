import type { V1EndpointSlice, V1Node, V1Pod, V1Service } from '@kubernetes/client-node'
import type { BackendSet } from '../../types/backend.ts'
import type { Node, Pod } from '../../types/node.ts'
import type { Service } from '../../types/service.ts'
import type { Converted, ConvertContext } from '../objects/fields.ts'
import { backendsFromEndpointSlice } from '../objects/endpoint-slice.ts'
import { nodeFromObject } from '../objects/node.ts'
import { podFromObject } from '../objects/pod.ts'
import { serviceFromObject } from '../objects/service.ts'

/** A row and the table it belongs to. */
export type Row =
  | { readonly table: 'services'; readonly row: Service }
  | { readonly table: 'backends'; readonly row: BackendSet }
  | { readonly table: 'nodes'; readonly row: Node }
  | { readonly table: 'pods'; readonly row: Pod }

export interface Kind {
  readonly apiVersion: string
  readonly kind: string
  readonly namespaced: boolean
  /** The conversion checks every field it reads, so it takes whatever the file holds. */
  convert(object: unknown, context: ConvertContext): Converted<Row>
}

export const KINDS: readonly Kind[] = [
  {
    apiVersion: 'v1',
    kind: 'Service',
    namespaced: true,
    convert: (object, context) => tagged('services', serviceFromObject(object as V1Service, context)),
  },
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    namespaced: true,
    convert: (object, context) => tagged('backends', backendsFromEndpointSlice(object as V1EndpointSlice, context)),
  },
  {
    apiVersion: 'v1',
    kind: 'Node',
    namespaced: false,
    convert: (object, context) => tagged('nodes', nodeFromObject(object as V1Node, context)),
  },
  {
    apiVersion: 'v1',
    kind: 'Pod',
    namespaced: true,
    convert: (object, context) => tagged('pods', podFromObject(object as V1Pod, context)),
  },
]

export const SUPPORTED = KINDS.map(({ apiVersion, kind }) => `${kind} (${apiVersion})`).join(', ')

/**
 * Kinds passed over in silence: they stand beside Services in ordinary application files and change nothing about
 * service traffic. Whatever would change it and is not handled (policies, Endpoints) must not be on this list.
 */
const PASSED_OVER = new Set(
  `Namespace ConfigMap Secret ServiceAccount PersistentVolume PersistentVolumeClaim LimitRange ResourceQuota Event
   Deployment StatefulSet DaemonSet ReplicaSet ReplicationController Job CronJob HorizontalPodAutoscaler
   PodDisruptionBudget Role RoleBinding ClusterRole ClusterRoleBinding StorageClass PriorityClass RuntimeClass Lease
   Ingress IngressClass CustomResourceDefinition`.split(/\s+/),
)
const BUILT_IN_GROUP = /^(v1|(apps|batch|autoscaling|policy|([a-z.]+\.)?k8s\.io)\/v\d+((alpha|beta)\d+)?)$/

export function isPassedOver(apiVersion: string, kind: string): boolean {
  return PASSED_OVER.has(kind) && BUILT_IN_GROUP.test(apiVersion)
}

function tagged<T extends Row['table']>(
  table: T,
  converted: Converted<Extract<Row, { table: T }>['row']>,
): Converted<Row> {
  return 'row' in converted ? { row: { table, row: converted.row } as Row } : converted
}
