import type { Command } from 'commander'
import type { CliContext, Format } from './context.ts'
import { formatOption, print } from './context.ts'
import { parseDuration } from './duration.ts'
import { OwnCluster } from './mesh/own.ts'
import { renderTroubleshoot, troubleshootReport } from './mesh/troubleshoot-text.ts'

interface Options {
  readonly timeout: string
  readonly config?: string
  readonly clustermeshConfig?: string
  readonly output: Format
}

export function addTroubleshoot(program: Command, context: CliContext): void {
  const troubleshoot = program
    .command('troubleshoot')
    .summary('find out why something does not work')
    .description('Find out why something does not work. Needs no running agent.')
  troubleshoot
    .command('clustermesh')
    .summary('connections to remote clusters, step by step')
    .description(
      'Try the way to each remote cluster as an agent goes it: DNS, TCP, TLS, etcd, what the exporter says about itself. ' +
        'Exits with 1 if anything fails.',
    )
    .argument('[clusters...]', 'names; otherwise all of the directory')
    .option('--timeout <duration>', 'for each step', '5s')
    .option('--config <file>', "the agent's file with settings (env WEFT_CONFIG)")
    .option('--clustermesh-config <directory>', 'directory of the remote clusters (env WEFT_CLUSTERMESH_CONFIG)')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft troubleshoot clustermesh
  weft troubleshoot clustermesh east --timeout 2s
  weft troubleshoot clustermesh --clustermesh-config /etc/weft/clustermesh -o json`,
    )
    .action(async (names: string[], options: Options, command: Command) => {
      const [{ readMembers }, { investigate }] = await Promise.all([
        import('../peering/directory.ts'),
        import('../peering/troubleshoot.ts'),
      ])
      const timeoutMs = parseDuration(options.timeout)
      const { clustermeshConfig, config } = options
      const own = new OwnCluster(context, command, {
        ...(clustermeshConfig === undefined ? {} : { configDir: clustermeshConfig }),
        ...(config === undefined ? {} : { config }),
      })
      const directory = await own.configDir()
      const members = new Map((await readMembers(directory)).map((member) => [member.name, member]))
      const ownCluster = await own.name(directory)
      const wanted = names.length === 0 ? [...members.keys()] : [...new Set(names)].sort()
      const found = await Promise.all(
        wanted.map((name) => investigate(name, members.get(name), { timeoutMs, clock: context.clock, ownCluster })),
      )
      const reports = found.map(troubleshootReport)
      await print(context, options.output, reports, renderTroubleshoot)
      if (reports.some((report) => !report.ok)) context.exitCode = 1
    })
}
