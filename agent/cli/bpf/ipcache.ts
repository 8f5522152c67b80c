import type { Command } from 'commander'
import type { CliContext, Format } from '../context.ts'
import { formatOption, print } from '../context.ts'
import { withPins } from './pins.ts'
import { readIpcache } from './read-ipcache.ts'
import { renderIpcache } from './tables.ts'

export function addIpcache(bpf: Command, context: CliContext): void {
  const ipcache = bpf
    .command('ipcache')
    .summary('prefixes with identity and node')
    .description('Prefixes with their identity and the node they are reached through.')
  ipcache
    .command('list')
    .summary('prefixes with identity and node')
    .description('Prefixes with their identity and the node they are reached through.')
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft bpf ipcache list\n  weft bpf ipcache list -o json')
    .action(async (options: { output: Format }, command: Command) => {
      await print(context, options.output, await withPins(command, readIpcache), renderIpcache)
    })
}
