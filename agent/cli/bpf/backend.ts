import type { Command } from 'commander'
import type { CliContext, Format } from '../context.ts'
import { formatOption, print } from '../context.ts'
import { withPins } from './pins.ts'
import { readBackends } from './read-services.ts'
import { renderBackends } from './tables.ts'

export function addBackend(bpf: Command, context: CliContext): void {
  const backend = bpf
    .command('backend')
    .summary('backends by id')
    .description('Backends that the datapath knows, by id.')
  backend
    .command('list')
    .summary('backends by id')
    .description('Backends that the datapath knows, by id.')
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft bpf backend list\n  weft bpf backend list -o json')
    .action(async (options: { output: Format }, command: Command) => {
      await print(context, options.output, await withPins(command, readBackends), renderBackends)
    })
}
