import type { V1Pod } from '@kubernetes/client-node'
import type { Address } from '../../types/address.ts'
import type { Pod } from '../../types/node.ts'
import type { Converted, ConvertContext } from './fields.ts'
import { Field, readMeta } from './fields.ts'

/**
 * A core/v1 Pod as a row. A pod that ran to its end has no address any more, whatever its status says: the address may
 * already belong to another.
 */
export function podFromObject(object: V1Pod, context: ConvertContext): Converted<Pod> {
  const root = Field.root(object)
  const meta = readMeta(root)
  const spec = root.at('spec')
  const status = root.at('status')
  const phase = status.at('phase').string()
  const finished = phase === 'Succeeded' || phase === 'Failed'
  const address = readAddress(status)
  const row: Pod = {
    key: `${meta.namespace}/${meta.name}`,
    namespace: meta.namespace ?? '',
    name: meta.name ?? '',
    address: finished ? undefined : address,
    nodeName: spec.at('nodeName').string() || undefined,
    hostNetwork: spec.at('hostNetwork').boolean() ?? false,
    labels: meta.labels,
    serviceAccount: spec.at('serviceAccountName').string() ?? 'default',
    ready: !finished && address !== undefined && isReady(status, phase),
    terminating: root.at('metadata').at('deletionTimestamp').value !== undefined,
    namedPorts: readNamedPorts(spec),
    origin: context.origin,
  }
  return root.faults.length > 0 ? { refused: root.faults } : { row }
}

function readAddress(status: Field): Address | undefined {
  const candidates = [
    status.at('podIP'),
    ...status
      .at('podIPs')
      .list()
      .map((entry) => entry.at('ip')),
  ]
  return candidates.map((field) => field.address()).find((address) => address !== undefined)
}

/** The Ready condition decides. Hand-written pods often have none: then one that is running, or does not say, is ready. */
function isReady(status: Field, phase: string | undefined): boolean {
  const condition = status
    .at('conditions')
    .list()
    .find((entry) => entry.at('type').value === 'Ready')
  if (condition !== undefined) return condition.at('status').value === 'True'
  return phase === undefined || phase === 'Running'
}

/** Ports of containers, and of init containers that keep running beside them. */
function readNamedPorts(spec: Field): Pod['namedPorts'] {
  const sidecars = spec
    .at('initContainers')
    .list()
    .filter((entry) => entry.at('restartPolicy').value === 'Always')
  const named: { name: string; protocol: number; port: number }[] = []
  for (const container of [...spec.at('containers').list(), ...sidecars]) {
    for (const item of container.at('ports').list()) {
      const name = item.at('name').string()
      const protocol = item.at('protocol').protocol()
      const port = item.at('containerPort').port()
      if (name !== undefined && protocol !== undefined && port !== undefined) named.push({ name, protocol, port })
    }
  }
  return named
}
