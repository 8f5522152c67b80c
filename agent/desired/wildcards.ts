import type { Address } from '../types/address.ts'
import type { BackendGroup, Frontend } from '../types/frontend.ts'
import type { Service } from '../types/service.ts'
import type { Snapshot } from './snapshot.ts'
import { frontendId } from '../types/frontend.ts'
import { SERVICE_FLAGS as FLAG } from '../types/service-flags.ts'

const NOBODY: BackendGroup = { slots: [], count: 0, decisions: [] }

/**
 * Addresses that are the services' alone, each as an entry that refuses whatever no frontend is for: the network leads such packets
 * here, this node would route them back, and they would go round until their TTL ends.
 *
 * Those are load-balancer addresses. A node's own address is never one, whoever claims it: most that gets there is for the node.
 * Nor is an external address, which may be anybody's; cluster addresses are not routed to nodes from outside.
 */
export function wildcardsOf(snap: Snapshot, service: Service): Frontend[] {
  if (service.type !== 'LoadBalancer') return []
  return service.loadBalancerIPs
    .filter((address) => !isOfNode(snap, address))
    .map((address) => ({
      id: frontendId(address, 0, 6, 'ext'),
      address,
      port: 0,
      protocol: 6,
      scope: 'ext',
      service: service.name,
      type: 'Wildcard',
      flags: FLAG.WILDCARD_DROP | FLAG.LB,
      algorithm: 'random',
      forwarding: 'snat',
      affinitySeconds: 0,
      maglevSize: 0,
      group: NOBODY,
    }))
}

function isOfNode(snap: Snapshot, address: Address): boolean {
  if (snap.local.nodeAddresses.includes(address)) return true
  for (const node of snap.tables.nodes.values()) {
    if (node.addresses.some((each) => each.address === address)) return true
  }
  return false
}
