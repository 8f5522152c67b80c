import type { Address } from '../types/address.ts'
import type { ServiceName } from '../types/service.ts'
import type { Snapshot } from './snapshot.ts'
import { decide, shownBackends } from './select-backends.ts'

/** A backend that is worth knowing about: connections may be sent to it now, or when others go. */
export interface ProbeTarget {
  readonly cluster: string
  readonly address: Address
  readonly port: number
}

/**
 * The backends of remote clusters that a connection can ask whether they are there: TCP, of a global service, announced as
 * able to take connections. None of UDP, where silence means nothing.
 */
export function probeTargets(snap: Snapshot, name: ServiceName): readonly ProbeTarget[] {
  const service = snap.tables.services.get(name)
  if (service === undefined || !service.mesh.global) return []
  const targets: ProbeTarget[] = []
  for (const port of service.ports) {
    if (port.protocol !== 6) continue
    for (const decision of decide(shownBackends(snap, service, port, 'all'))) {
      const { cluster, address, reason } = decision
      if (cluster === snap.local.clusterName || reason === 'port-name-mismatch') continue
      if (reason === 'not-ready' || reason === 'tier-hides') continue
      targets.push({ cluster, address, port: decision.port })
    }
  }
  return targets
}
