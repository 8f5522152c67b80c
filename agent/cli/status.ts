import type { Command } from 'commander'
import type { CliContext, Format } from './context.ts'
import { agentOf, formatOption, print } from './context.ts'
import { renderStatus } from './status-text.ts'

export function addStatus(program: Command, context: CliContext): void {
  program
    .command('status')
    .summary('health of the agent, its datapath and the mesh')
    .description(
      'Show the health of the agent, its datapath and the connected clusters. Exits with 1 when there are problems.',
    )
    .option('--verbose', 'also details of the load balancer, programs, maps, targets and all clusters')
    .option('--all-clusters', 'details of all connected clusters, not only of those that are not ready')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft status
  weft status --verbose
  weft status -o json | jq -r '.problems[].message'`,
    )
    .action(async (options: { verbose?: boolean; allClusters?: boolean; output: Format }, command: Command) => {
      const report = await agentOf(context, command).status()
      const verbose = options.verbose === true
      const now = context.clock.date()
      await print(context, options.output, report, (status) =>
        renderStatus(status, { verbose, allClusters: verbose || options.allClusters === true, now }),
      )
      if (!report.ok) context.exitCode = 1
    })
}
