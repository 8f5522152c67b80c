import type { Command } from 'commander'
import type { EndpointReport, NodeReport } from '../api/types.ts'
import { RESERVED } from '../types/identity.ts'
import type { CliContext, Format } from './context.ts'
import { agentOf, formatOption, print } from './context.ts'
import { formatTable } from './table.ts'

export function addEndpoint(program: Command, context: CliContext): void {
  const endpoint = program
    .command('endpoint')
    .summary('pods on this node')
    .description('Pods on the node of the agent.')
  endpoint
    .command('list')
    .summary('pods on this node with identity and labels')
    .description(
      'List the pods on the node of the agent that have an address of their own. ' +
        'A selector that names reserved:host or reserved:remote-node lists nodes.',
    )
    .option('-l, --selector <labels>', 'only those with all of these labels, with commas: [source:]key[=value]')
    .addOption(formatOption())
    .addHelpText(
      'after',
      "\nExamples:\n  weft endpoint list\n  weft endpoint list -o json | jq -r '.[].address'\n  weft endpoint list --selector reserved:remote-node",
    )
    .action(async (options: { output: Format; selector?: string }, command: Command) => {
      const api = agentOf(context, command)
      const wanted = (options.selector ?? '').split(',').filter((label) => label !== '')
      const reserved = wanted.some((label) => label.startsWith('reserved:'))
      const all = reserved ? (await api.nodes()).map(nodeEndpoint) : await api.endpoints()
      const selected = all.filter(({ labels }) => wanted.every((label) => labels.some((each) => carries(each, label))))
      await print(context, options.output, selected, renderEndpoints)
    })
}

/** Nodes are no endpoints of their own, but have identities: 1 the one that answers, 6 every other one, of any cluster. */
function nodeEndpoint(node: NodeReport): EndpointReport {
  const own = node.source === 'local'
  return {
    name: node.name,
    address: node.address,
    identity: own ? RESERVED.host : RESERVED.remoteNode,
    labels: [own ? 'reserved:host' : 'reserved:remote-node'],
    state: 'ready',
  }
}

/** Source and value may be left out of what is wanted. */
function carries(label: string, wanted: string): boolean {
  const bare = label.slice(label.indexOf(':') + 1)
  return [label, bare].some((text) => text === wanted || text.split('=')[0] === wanted)
}

/** The columns of `cilium-dbg endpoint list`, with the pod's name for its number. Nothing enforces policy: both cells say so. */
export function renderEndpoints(endpoints: readonly EndpointReport[]): string {
  const header = [
    'ENDPOINT',
    ['POLICY (ingress)', 'ENFORCEMENT'],
    ['POLICY (egress)', 'ENFORCEMENT'],
    'IDENTITY',
    'LABELS (source:key[=value])',
    'IPv6',
    'IPv4',
    'STATUS',
  ]
  return formatTable(
    header,
    endpoints.map((endpoint) => [
      endpoint.name,
      'Disabled',
      'Disabled',
      String(endpoint.identity),
      endpoint.labels.length === 0 ? 'no labels' : endpoint.labels,
      '',
      endpoint.address === '' ? 'No address' : endpoint.address,
      endpoint.state,
    ]),
  )
}
