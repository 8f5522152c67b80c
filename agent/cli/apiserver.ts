import type { Command } from 'commander'
import type { CliContext } from './context.ts'
import type { Setting } from '../lib/settings.ts'
import { addSettings, givenFlags } from './setting-flags.ts'

export function addApiserver(program: Command, context: CliContext, settings: readonly Setting[]): void {
  const apiserver = program
    .command('clustermesh-apiserver')
    .summary("export this cluster to its etcd, for other clusters' agents")
    .description(
      "Export this cluster's services, nodes, addresses and identities to its etcd, for other clusters' agents.",
    )
    .addHelpText('after', '\nExamples:\n  weft clustermesh-apiserver --config /etc/weft/apiserver.yaml')
  addSettings(apiserver, settings)
  apiserver.action((_options, command: Command) => context.daemons.apiserver(givenFlags(command, settings), context))
}
