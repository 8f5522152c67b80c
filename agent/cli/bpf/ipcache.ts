import type { Command } from 'commander'
import type { CliContext, Format } from '../context.ts'
import { agentOf, formatOption, print } from '../context.ts'
import { clusterNames } from './ask-agent.ts'
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
    .description(
      'Prefixes with their identity and the node they are reached through. ' +
        'Clusters are shown by name while an agent runs, else by id.',
    )
    .addOption(formatOption())
    .addHelpText(
      'after',
      '\nExamples:\n  weft bpf ipcache list\n  weft bpf ipcache list | grep cluster=east\n  weft bpf ipcache list -o json',
    )
    .action(async (options: { output: Format }, command: Command) => {
      const rows = await withPins(command, readIpcache)
      const names = await clusterNames(agentOf(context, command))
      const named = rows.map((row) => {
        const cluster = names.get(row.clusterId)
        return cluster === undefined ? row : { ...row, cluster }
      })
      await print(context, options.output, named, renderIpcache)
    })
}
