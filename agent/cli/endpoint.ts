import type { Command } from 'commander'
import type { EndpointReport } from '../api/types.ts'
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
    .description('List the pods on the node of the agent that have an address of their own.')
    .addOption(formatOption())
    .addHelpText('after', "\nExamples:\n  weft endpoint list\n  weft endpoint list -o json | jq -r '.[].address'")
    .action(async (options: { output: Format }, command: Command) => {
      await print(context, options.output, await agentOf(context, command).endpoints(), renderEndpoints)
    })
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
