import type { Command } from 'commander'
import type { CliContext } from './context.ts'
import type { Setting } from '../lib/settings.ts'
import { addSettings, givenFlags } from './setting-flags.ts'

export function addAgent(program: Command, context: CliContext, settings: readonly Setting[]): void {
  const agent = program
    .command('agent')
    .summary('run the node agent')
    .description(
      'Run the node agent: load the programs, follow the clusters, keep the kernel as it should be. Needs root.',
    )
    .addHelpText(
      'after',
      `
Examples:
  weft agent --config /etc/weft/agent.yaml
  weft agent --cluster-name west --cluster-id 1 --manifests /etc/weft/manifests
  weft agent --cleanup`,
    )
    .option(
      '--cleanup',
      'remove all that agents left in the kernel (programs, maps, routes), and end; traffic to services stops',
    )
  addSettings(agent, settings)
  agent.action((options: { cleanup?: boolean }, command: Command) =>
    context.daemons[options.cleanup === true ? 'cleanup' : 'agent'](givenFlags(command, settings), context),
  )
}
