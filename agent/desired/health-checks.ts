import type { BackendDecision, BackendGroup, Frontend } from '../types/frontend.ts'
import type { HealthCheck } from '../types/health-check.ts'
import type { Service, ServiceName } from '../types/service.ts'
import type { Snapshot } from './snapshot.ts'
import { frontendId } from '../types/frontend.ts'
import { SERVICE_FLAGS as FLAG } from '../types/service-flags.ts'
import { isBalanced } from './protocols.ts'
import { selectBackends } from './select-backends.ts'

/** The API server allots a port for these alone. */
function portOf(service: Service | undefined): number | undefined {
  const asked = service?.type === 'LoadBalancer' && service.externalTrafficPolicy === 'Local'
  return asked ? service.healthCheckNodePort : undefined
}

/** Whether this node has backends of its own for a service that sends nobody elsewhere; undefined when nobody is to ask. */
export function desiredHealthCheck(snap: Snapshot, name: ServiceName): HealthCheck | undefined {
  const service = snap.tables.services.get(name)
  const port = portOf(service)
  if (service === undefined || port === undefined) return undefined
  const addresses = new Set<number>()
  for (const each of service.ports) {
    if (!isBalanced(each.protocol)) continue
    for (const { address, selected, condition } of selectBackends(snap, service, each, 'local')) {
      // What only drains still takes connections, but whoever asks is to go elsewhere.
      if (selected && condition === 'ready') addresses.add(address)
    }
  }
  const slash = name.indexOf('/')
  return {
    service: { namespace: name.slice(0, slash), name: name.slice(slash + 1) },
    host: '0.0.0.0',
    port,
    localEndpoints: addresses.size,
  }
}

/** The same question to the service's own address: some balancers ask there. The node that gets it answers for itself. */
export function healthFrontends(snap: Snapshot, service: Service): Frontend[] {
  const port = portOf(service)
  if (port === undefined) return []
  const { nodeAddresses } = snap.local
  const group = ownGroup(snap, port)
  return service.loadBalancerIPs
    .filter((address) => !nodeAddresses.includes(address))
    .map((address) => ({
      id: frontendId(address, port, 6, 'ext'),
      address,
      port,
      protocol: 6,
      scope: 'ext',
      service: service.name,
      type: 'LoadBalancer',
      flags: FLAG.LB | FLAG.ROUTABLE,
      algorithm: 'random',
      forwarding: 'snat',
      affinitySeconds: 0,
      maglevSize: 0,
      group,
    }))
}

function ownGroup(snap: Snapshot, port: number): BackendGroup {
  const { clusterName, clusterId, nodeName, nodeAddresses } = snap.local
  const backend = { address: nodeAddresses[0]!, port, protocol: 6, clusterId, weight: 100 } as const
  const decision: BackendDecision = {
    ...backend,
    cluster: clusterName,
    nodeName,
    zone: undefined,
    condition: 'ready',
    selected: true,
    preferred: false,
    tier: 0,
    reason: 'selected',
  }
  return { slots: [{ ...backend, state: 'active' }], count: 1, decisions: [decision] }
}
