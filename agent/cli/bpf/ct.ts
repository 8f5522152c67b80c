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
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft bpf ct list\n  weft bpf ct list | grep 10.2.47.149')
    .action(async (options: { output: Format }, command: Command) => {
      const now = Number(process.hrtime.bigint() / 1_000_000_000n)
      const flows = await withPins(command, (open) => readFlows(open, now))
      await print(context, options.output, flows, renderFlows)
    })
}
