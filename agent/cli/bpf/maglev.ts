import type { Command } from 'commander'
import type { CliContext, Format } from '../context.ts'
import { formatOption, print } from '../context.ts'
import { withPins } from './pins.ts'
import { readMaglev } from './read-services.ts'
import { renderMaglev } from './tables.ts'

export function addMaglev(bpf: Command, context: CliContext): void {
  const maglev = bpf
    .command('maglev')
    .summary('Maglev tables by service')
    .description('Maglev tables: how many of the slots each backend holds.')
  maglev
    .command('list')
    .summary('Maglev tables by service')
    .description('Maglev tables: how many of the slots each backend holds.')
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft bpf maglev list\n  weft bpf maglev list -o json')
    .action(async (options: { output: Format }, command: Command) => {
      await print(context, options.output, await withPins(command, readMaglev), renderMaglev)
    })
}
