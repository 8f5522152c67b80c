import { ApiClient } from '../../agent/api/client.ts'
import type { ExplainReport } from '../../agent/api/types.ts'
import { agentSocket } from './daemons.ts'
import type { LabPaths } from './paths.ts'
import type { ClusterSpec } from './topology.ts'

/** What a node's agent says of a service. Asked without a command: it is looked at again and again while something settles. */
export function explained(lab: LabPaths, node: string, service = 'default/webpod'): Promise<ExplainReport> {
  const [namespace = '', name = ''] = service.split('/', 2)
  return new ApiClient(agentSocket(lab, node)).explain(namespace, name)
}

/** The selected backends' addresses when the node's kernel has all that is wanted for the service, with `count` frontends at least. */
async function selected(lab: LabPaths, node: string, service: string, count: number): Promise<string | undefined> {
  const frontends = await explained(lab, node, service).then(
    (report) => report.frontends,
    () => [], // no agent yet, or it has not seen the service yet
  )
  if (frontends.length < count || frontends.some((frontend) => frontend.state !== 'done')) return undefined
  const sets = frontends.map(({ backends }) => {
    const ips = backends.filter((backend) => backend.selected).map((backend) => backend.address.replace(/:.*$/, ''))
    return ips.sort().join(' ')
  })
  return new Set(sets).size === 1 ? sets[0] : undefined
}

/** Whether all nodes of a cluster have the service in their kernel, balanced over exactly these addresses. */
export async function isSettled(
  lab: LabPaths,
  cluster: ClusterSpec,
  ips: readonly string[],
  { service = 'default/webpod', frontends = 1 } = {},
): Promise<boolean> {
  const want = [...ips].sort().join(' ')
  const have = await Promise.all(cluster.nodes.map((node) => selected(lab, node.name, service, frontends)))
  return have.every((one) => one === want)
}
