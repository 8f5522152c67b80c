import type { Command } from 'commander'
import type { CliContext, Format } from '../context.ts'
import { formatOption, print } from '../context.ts'
import { withPins } from './pins.ts'
import { readMetrics } from './read-metrics.ts'
import { renderMetrics } from './tables.ts'

export function addMetrics(bpf: Command, context: CliContext): void {
  const metrics = bpf
    .command('metrics')
    .summary('packets forwarded and dropped, by reason')
    .description('Packets forwarded and dropped, by reason and direction, over all cpus.')
  metrics
    .command('list')
    .summary('packets forwarded and dropped, by reason')
    .description('Packets forwarded and dropped, by reason and direction, over all cpus.')
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft bpf metrics list\n  weft bpf metrics list -o json')
    .action(async (options: { output: Format }, command: Command) => {
      await print(context, options.output, await withPins(command, readMetrics), renderMetrics)
    })
}
