import type { Command } from 'commander'
import type { CliContext, Format } from '../context.ts'
import { formatOption, print } from '../context.ts'
import { withPins } from './pins.ts'
import { readFlows } from './read-flows.ts'
import { renderFlows } from './tables.ts'

export function addCt(bpf: Command, context: CliContext): void {
  const ct = bpf
    .command('ct')
    .summary('flows with their rewrite')
    .description('Flows that the datapath knows, each direction with the complete rewrite.')
  ct.command('list')
    .summary('flows with their rewrite')
    .description('Flows that the datapath knows, each direction with the complete rewrite.')
    .option('--all', 'also flows that are over, whose entries nobody has needed yet')
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft bpf ct list\n  weft bpf ct list | grep 10.2.47.149')
    .action(async (options: { all?: true; output: Format }, command: Command) => {
      const now = Number(process.hrtime.bigint() / 1_000_000_000n)
      const flows = await withPins(command, (open) => readFlows(open, now))
      const shown = options.all ? flows : flows.filter(({ expiresIn }) => expiresIn > 0)
      await print(context, options.output, shown, renderFlows)
    })
}
