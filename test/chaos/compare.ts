import { hostEnv } from '../lab/daemons.ts'
import { onHost } from '../lab/hosts.ts'
import type { LabPaths } from '../lab/paths.ts'
import { must } from '../lab/process.ts'
import type { ClusterSpec, NodeSpec } from '../lab/topology.ts'
import { POD_BYTES } from './objects.ts'
import type { Truth } from './truth.ts'

/** What is compared of a node's kernel maps, as `weft bpf lb list -o json` and `weft bpf ipcache list -o json` print them. */
export interface NodeMaps {
  readonly frontends: readonly FrontendRow[]
  readonly ipcache: readonly IpcacheRow[]
}

interface FrontendRow {
  readonly address: string
  readonly slots: readonly { readonly address?: string; readonly quarantined: boolean }[]
}

interface IpcacheRow {
  readonly prefix: string
  readonly identity: number
  readonly clusterId: number
  readonly tunnelEndpoint: string
}

/** Reads the pinned maps; no agent is asked for them. */
export async function readMaps(lab: LabPaths, node: NodeSpec): Promise<NodeMaps> {
  const list = async <T>(what: string): Promise<T> =>
    JSON.parse(
      await must(onHost(lab, node, 'exec', ['weft', 'bpf', what, 'list', '-o', 'json']), { env: hostEnv(lab, node) }),
    ) as T
  return { frontends: await list('lb'), ipcache: await list('ipcache') }
}

/** Every frontend and every pod of a writer that a node has otherwise than it should: a line each, with node and service. */
export function differences(node: NodeSpec, clusters: readonly ClusterSpec[], truth: Truth, maps: NodeMaps): string[] {
  return [...frontendDifferences(truth, maps.frontends), ...podDifferences(clusters, truth, maps.ipcache)].map(
    (line) => `${node.name}: ${line}`,
  )
}

function frontendDifferences(truth: Truth, rows: readonly FrontendRow[]): string[] {
  const found: string[] = []
  const named = (address: string): string => `${truth.names.get(address) ?? 'unknown service'} ${address}`
  const have = new Map<string, string>()
  for (const { address, slots } of rows) {
    const active = slots.filter(({ quarantined }) => !quarantined).map((slot) => slot.address ?? 'nothing')
    have.set(address, active.sort().join(' '))
  }
  for (const [address, backends] of truth.frontends) {
    const [want, is] = [backends.join(' '), have.get(address)]
    if (is === undefined) found.push(`${named(address)} is missing; it should have [${want}]`)
    else if (is !== want) found.push(`${named(address)} has [${is}]; it should have [${want}]`)
    have.delete(address)
  }
  return [...found, ...[...have].map(([address, is]) => `${named(address)} should not be there; it has [${is}]`)]
}

function podDifferences(clusters: readonly ClusterSpec[], truth: Truth, rows: readonly IpcacheRow[]): string[] {
  const found: string[] = []
  const have = new Map(rows.filter(({ prefix }) => isStormPod(clusters, prefix)).map((row) => [row.prefix, row]))
  // Numbers are the exporters' to choose: only which pods share one is known.
  const numbers = new Map<string, number>()
  for (const [prefix, want] of truth.pods) {
    const is = have.get(prefix)
    have.delete(prefix)
    if (is === undefined) {
      found.push(`${prefix} is not in the ipcache`)
      continue
    }
    if (is.clusterId !== want.clusterId || is.tunnelEndpoint !== want.tunnelEndpoint)
      found.push(
        `${prefix} is of cluster ${is.clusterId} behind ${is.tunnelEndpoint}, not ${want.clusterId} behind ${want.tunnelEndpoint}`,
      )
    const number = numbers.get(want.identity) ?? is.identity
    if (number !== is.identity) found.push(`${prefix} has identity ${is.identity}, others like it ${number}`)
    numbers.set(want.identity, number)
  }
  if (new Set(numbers.values()).size !== numbers.size) found.push('pods with different labels have the same identity')
  return [...found, ...[...have.keys()].map((prefix) => `${prefix} should not be in the ipcache`)]
}

function isStormPod(clusters: readonly ClusterSpec[], prefix: string): boolean {
  const [a, b, c, rest] = prefix.split('.')
  const [least, most] = POD_BYTES
  return (
    rest?.endsWith('/32') === true &&
    clusters.some(({ podCidr }) => podCidr.startsWith(`${a ?? ''}.${b ?? ''}.`)) &&
    Number(c) >= least &&
    Number(c) <= most
  )
}
