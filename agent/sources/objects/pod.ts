import type { V1Pod } from '@kubernetes/client-node'
import type { Address } from '../../types/address.ts'
import type { HostPort, Pod } from '../../types/node.ts'
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
  const hostNetwork = spec.at('hostNetwork').boolean() ?? false
  const row: Pod = {
    key: `${meta.namespace}/${meta.name}`,
    namespace: meta.namespace ?? '',
    name: meta.name ?? '',
    address: finished ? undefined : address,
    nodeName: spec.at('nodeName').string() || undefined,
    hostNetwork,
    labels: meta.labels,
    serviceAccount: spec.at('serviceAccountName').string() ?? 'default',
    ready: !finished && address !== undefined && isReady(status, phase),
    terminating: root.at('metadata').at('deletionTimestamp').value !== undefined,
    namedPorts: readNamedPorts(spec),
    hostPorts: hostNetwork ? [] : readHostPorts(spec),
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
function containerPorts(spec: Field): Field[] {
  const sidecars = spec
    .at('initContainers')
    .list()
    .filter((entry) => entry.at('restartPolicy').value === 'Always')
  return [...spec.at('containers').list(), ...sidecars].flatMap((container) => container.at('ports').list())
}

function readNamedPorts(spec: Field): Pod['namedPorts'] {
  const named: { name: string; protocol: number; port: number }[] = []
  for (const item of containerPorts(spec)) {
    const name = item.at('name').string()
    const protocol = item.at('protocol').protocol()
    const port = item.at('containerPort').port()
    if (name !== undefined && protocol !== undefined && port !== undefined) named.push({ name, protocol, port })
  }
  return named
}

const ANY_HOST_IP: ReadonlySet<unknown> = new Set([undefined, '', '0.0.0.0'])

/** A port on an IPv6 hostIP is another family's business. */
function readHostPorts(spec: Field): HostPort[] {
  const ports: HostPort[] = []
  for (const item of containerPorts(spec)) {
    const hostPort = item.at('hostPort').optionalPort()
    if (hostPort === undefined) continue
    const protocol = item.at('protocol').protocol()
    const containerPort = item.at('containerPort').port()
    const hostIp = ANY_HOST_IP.has(item.at('hostIP').value) ? 'any' : item.at('hostIP').address()
    if (protocol === undefined || containerPort === undefined || hostIp === undefined) continue
    ports.push({ hostIp: hostIp === 'any' ? undefined : hostIp, protocol, hostPort, containerPort })
  }
  return ports
}
