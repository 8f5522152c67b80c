import type { Config } from '../config.ts'
import type { Snapshot } from '../desired/snapshot.ts'
import type { Address } from '../types/address.ts'
import type { SlotBackend } from '../types/frontend.ts'
import { SyncGates } from '../state/sync.ts'

/** The tables as `desired/` sees them, now and later. `addresses` are the node's own, now. */
export function liveSnapshot(
  config: Pick<Config, 'clusterName' | 'clusterId' | 'nodeName' | 'nodePortRange' | 'loadBalancer'>,
  addresses: () => readonly Address[],
  tables: Snapshot['tables'],
  sync: SyncGates,
  restored: (frontendId: string) => readonly SlotBackend[],
): Snapshot {
  const { clusterName, clusterId, nodeName } = config
  const [first, last] = config.nodePortRange
  return {
    tables,
    local: {
      ...{ clusterName, clusterId, nodeName },
      get nodeAddresses() {
        const node = tables.nodes.get(`${clusterName}/${nodeName}`)
        return [...new Set([...addresses(), ...(node?.addresses ?? []).map((each) => each.address)])]
      },
    },
    lb: {
      algorithm: config.loadBalancer.algorithm,
      mode: config.loadBalancer.mode,
      dsrRemoteClusters: config.loadBalancer.dsrRemoteClusters,
      maglevSize: config.loadBalancer.maglevTableSize,
      nodePortRange: { first, last },
    },
    isSynced: (source) => sync.isOpen(source),
    restored,
  }
}
