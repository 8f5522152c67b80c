import type { Command } from 'commander'
import type { CliContext, FlagValues } from './context.ts'
import type { Setting } from '../lib/settings.ts'
import { scalar } from './table.ts'

export function addAgent(program: Command, context: CliContext, settings: readonly Setting[]): void {
  const agent = program
    .command('agent')
    .summary('run the node agent')
    .description(
      'Run the node agent: load the programs, follow the clusters, keep the kernel as it should be. Needs root.',
    )
    .addHelpText(
      'after',
      `
Examples:
  weft agent --config /etc/weft/agent.yaml
  weft agent --cluster-name west --cluster-id 1 --manifests /etc/weft/manifests
  weft agent --cleanup`,
    )
    .option(
      '--cleanup',
      'remove all that agents left in the kernel (programs, maps, routes), and end; traffic to services stops',
    )
  addSettings(agent, settings)
  agent.action((options: { cleanup?: boolean }, command: Command) =>
    context.daemons[options.cleanup === true ? 'cleanup' : 'agent'](givenFlags(command, settings), context),
  )
}

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

/**
 * No commander defaults: a value is handed on only if it was given, so that the configuration can say where each came
 * from. A flag the program has already (--socket) keeps its one declaration.
 */
function addSettings(command: Command, settings: readonly Setting[]): void {
  for (const setting of settings) {
    if (inherited(command, longName(setting)) !== undefined) continue
    const fallback = describeDefault(setting.default)
    const note = `env ${setting.env}${fallback === '' ? '' : `, default ${fallback}`}`
    command.option(setting.flag, `${setting.description} (${note})`)
  }
}

function givenFlags(command: Command, settings: readonly Setting[]): FlagValues {
  const values: Record<string, string | boolean> = {}
  for (const setting of settings) {
    const name = longName(setting)
    const owner = command.options.some((option) => option.long === `--${name}`) ? command : inherited(command, name)
    const option = owner?.options.find((candidate) => candidate.long === `--${name}`)
    if (owner === undefined || option === undefined) continue
    const attribute = option.attributeName()
    if (owner.getOptionValueSource(attribute) === 'cli') {
      values[name] = owner.getOptionValue(attribute) as string | boolean
    }
  }
  return values
}

function inherited(command: Command, name: string): Command | undefined {
  for (let parent = command.parent; parent !== null; parent = parent.parent) {
    if (parent.options.some((option) => option.long === `--${name}`)) return parent
  }
  return undefined
}

function longName(setting: Setting): string {
  return setting.flag.replace(/^--/, '').replace(/\s.*$/, '')
}

function describeDefault(value: unknown): string {
  if (value === undefined || value === '' || (Array.isArray(value) && value.length === 0)) return ''
  return Array.isArray(value) ? value.map(scalar).join(',') : scalar(value)
}
