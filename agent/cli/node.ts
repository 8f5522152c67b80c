import type { Command } from 'commander'
import type { NodeReport } from '../api/types.ts'
import type { CliContext, Format } from './context.ts'
import { agentOf, formatOption, print } from './context.ts'
import { formatTable } from './table.ts'

export function addNode(program: Command, context: CliContext): void {
  const node = program
    .command('node')
    .summary('nodes of all clusters')
    .description('Nodes of the own and of connected clusters.')
  node
    .command('list')
    .summary('nodes with address and pod ranges')
    .description('List the nodes of the own and of connected clusters.')
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft node list\n  weft node list -o yaml')
    .action(async (options: { output: Format }, command: Command) => {
      await print(context, options.output, await agentOf(context, command).nodes(), renderNodes)
    })
}

/** The columns of `cilium-dbg node list`; the IPv6 ones stay empty. */
export function renderNodes(nodes: readonly NodeReport[]): string {
  return formatTable(
    ['Name', 'IPv4 Address', 'Endpoint CIDR', 'IPv6 Address', 'Endpoint CIDR', 'Source'],
    nodes.map((node) => [
      node.source === 'local' ? `${node.name} (local)` : node.name,
      node.address,
      node.podCidrs,
      '',
      '',
      node.source,
    ]),
  )
}
