import type { V1Node } from '@kubernetes/client-node'
import type { Address, Cidr } from '../../types/address.ts'
import { formatCidr } from '../../types/address.ts'
import type { Node } from '../../types/node.ts'
import type { Converted, ConvertContext } from './fields.ts'
import { Field, readMeta } from './fields.ts'

export const ZONE_LABEL = 'topology.kubernetes.io/zone'
/** The cluster autoscaler's, on nodes that it will remove. */
const LEAVING_TAINT = 'ToBeDeletedByClusterAutoscaler'
/** Other nodes reach a node at the first of these it has. */
const PREFERENCE = ['InternalIP', 'ExternalIP']

/** A core/v1 Node as a row, key `<cluster>/<name>`. IPv6 addresses and pod prefixes are left out. */
export function nodeFromObject(object: V1Node, context: ConvertContext): Converted<Node> {
  const root = Field.root(object)
  const meta = readMeta(root)
  const addresses = readAddresses(root.at('status').at('addresses'))
  const podCidrs = readPodCidrs(root.at('spec'))
  const preferred = PREFERENCE.map((type) => addresses.find((entry) => entry.type === type))
  const address = (preferred.find((entry) => entry !== undefined) ?? addresses[0])?.address
  if (address === undefined && root.faults.length === 0) {
    root.at('status').at('addresses').fault('has no IPv4 address', 'Write `- {type: InternalIP, address: 192.0.2.1}`.')
  }
  if (root.faults.length > 0 || address === undefined) return { refused: root.faults }
  return {
    row: {
      key: `${context.cluster}/${meta.name}`,
      cluster: context.cluster,
      name: meta.name ?? '',
      address,
      addresses,
      podCidrs,
      labels: meta.labels,
      zone: meta.labels[ZONE_LABEL],
      ...(isLeaving(root) ? { leaving: true as const } : {}),
      origin: context.origin,
    },
  }
}

function isLeaving(root: Field): boolean {
  const taints = root.at('spec').at('taints').list()
  return (
    root.at('metadata').at('deletionTimestamp').value !== undefined ||
    taints.some((taint) => taint.at('key').value === LEAVING_TAINT)
  )
}

/** Host names and DNS names stand in the same list; only `…IP` entries are addresses. */
function readAddresses(field: Field): { type: string; address: Address }[] {
  const addresses: { type: string; address: Address }[] = []
  for (const item of field.list()) {
    const type = item.at('type').string() ?? ''
    if (!type.endsWith('IP')) continue
    const address = item.at('address').address()
    if (address !== undefined) addresses.push({ type, address })
  }
  return addresses
}

function readPodCidrs(spec: Field): Cidr[] {
  const fields = [spec.at('podCIDR'), ...spec.at('podCIDRs').list()]
  const byText = new Map<string, Cidr>()
  for (const field of fields) {
    const cidr = field.cidr()
    if (cidr !== undefined) byText.set(formatCidr(cidr), cidr)
  }
  return [...byText.values()]
}
