import type { Command } from 'commander'
import type { CliContext } from './context.ts'
import type { Setting } from '../lib/settings.ts'
import { addSettings, givenFlags } from './setting-flags.ts'

export function addKvstoremesh(program: Command, context: CliContext, settings: readonly Setting[]): void {
  const kvstoremesh = program
    .command('kvstoremesh')
    .summary("copy remote clusters into this cluster's etcd, for its agents")
    .description(
      "Copy what remote clusters export into this cluster's etcd, over one connection to each, for all agents of this cluster.",
    )
    .addHelpText(
      'after',
      `
Examples:
  weft kvstoremesh --config /etc/weft/kvstoremesh.yaml
  weft clustermesh status --socket /run/weft/kvstoremesh.sock`,
    )
  addSettings(kvstoremesh, settings)
  kvstoremesh.action((_options, command: Command) =>
    context.daemons.kvstoremesh(givenFlags(command, settings), context),
  )
}
