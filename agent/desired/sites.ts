import type { Address } from '../types/address.ts'
import type { FrontendType, Scope } from '../types/frontend.ts'
import type { Service } from '../types/service.ts'
import type { Snapshot } from './snapshot.ts'
import type { View } from './select-backends.ts'
import { ANY_ADDRESS } from '../types/address.ts'
import { SERVICE_FLAGS as FLAG } from '../types/service-flags.ts'

/** An address a service answers on, in one scope; every port of the service is answered there. */
export interface Site {
  readonly address: Address
  readonly type: FrontendType
  readonly scope: Scope
  readonly view: View
  readonly flags: number
  /** Clients outside the cluster reach it, so Maglev makes sense. */
  readonly outside: boolean
}

/**
 * Most explicit first: an address a person wrote down (LoadBalancer, external, cluster IP) comes before the node ports that
 * are expanded over all addresses of the node.
 *
 * | externalTrafficPolicy | internalTrafficPolicy | entries of an outside address |
 * |---|---|---|
 * | Cluster | Cluster | ext all |
 * | Local | Local | ext local |
 * | Local | Cluster | ext local, int all |
 * | Cluster | Local | ext all, int local |
 */
export function sitesOf(snap: Snapshot, service: Service): readonly Site[] {
  const itp = service.internalTrafficPolicy === 'Local' ? FLAG.ITP_LOCAL : 0
  const common = itp | (service.sessionAffinitySeconds > 0 ? FLAG.AFFINITY : 0)
  const sites: Site[] = []
  const outsideSites: Site[] = []
  if (service.type === 'LoadBalancer') {
    const flags = FLAG.LB | FLAG.ROUTABLE | admission(service)
    for (const address of service.loadBalancerIPs) outside(sites, service, address, 'LoadBalancer', flags | common)
  }
  for (const address of service.externalIPs) {
    outside(sites, service, address, 'ExternalIP', FLAG.EXT_IP | FLAG.ROUTABLE | common)
  }
  for (const address of service.clusterIPs) {
    const view = itp === 0 ? 'all' : 'local'
    sites.push({ address, type: 'ClusterIP', scope: 'ext', view, flags: FLAG.CLUSTER_IP | common, outside: false })
  }
  if (service.type === 'NodePort' || service.type === 'LoadBalancer') {
    for (const address of snap.local.nodeAddresses) {
      outside(outsideSites, service, address, 'NodePort', FLAG.NODEPORT | FLAG.ROUTABLE | common)
    }
    // Answers node ports of other nodes' addresses to pods and sockets; nothing from outside may match it.
    outside(outsideSites, service, ANY_ADDRESS, 'NodePort', FLAG.NODEPORT | common)
  }
  return outsideSites.length === 0 ? sites : [...sites, ...outsideSites]
}

/** Who is let in. A list that is empty keeps nobody out, whatever it is called. */
function admission({ sourceRanges, sourceRangePolicy }: Service): number {
  if (sourceRanges.length === 0) return 0
  return FLAG.SRC_CHECK | (sourceRangePolicy === 'deny' ? FLAG.SRC_DENY : 0)
}

function outside(sites: Site[], service: Service, address: Address, type: FrontendType, flags: number): void {
  const etpLocal = service.externalTrafficPolicy === 'Local'
  const itpLocal = service.internalTrafficPolicy === 'Local'
  const twoScopes = etpLocal !== itpLocal
  const all = flags | (etpLocal ? FLAG.ETP_LOCAL : 0) | (twoScopes ? FLAG.TWO_SCOPES : 0)
  const reachable = (flags & FLAG.ROUTABLE) !== 0
  sites.push({ address, type, scope: 'ext', view: etpLocal ? 'local' : 'all', flags: all, outside: reachable })
  if (twoScopes)
    sites.push({ address, type, scope: 'int', view: itpLocal ? 'local' : 'all', flags: all, outside: false })
}
