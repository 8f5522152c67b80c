import type { Command } from 'commander'
import type { ConfigValue } from '../api/types.ts'
import type { CliContext, Format } from './context.ts'
import { agentOf, formatOption, print } from './context.ts'
import { configMapData } from './config-map.ts'
import { formatColumns, formatTable, scalar } from './table.ts'

export function addConfig(program: Command, context: CliContext): void {
  const config = program
    .command('config')
    .summary('configuration of the agent')
    .description('Configuration of the agent.')
  config
    .command('view')
    .summary('every setting and its value, by the keys of a ConfigMap')
    .description(
      "Show every setting of the running agent, under the key it has in Cilium's ConfigMap. -o json and yaml show our own names, " +
        'and where each value came from.',
    )
    .option('--sources', 'our own names instead, and where each value came from')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft config view | grep -E "cluster-|masq"
  weft config view --sources | grep -v default`,
    )
    .action(async (options: { output: Format; sources?: true }, command: Command) => {
      const render = options.sources === true ? renderSources : renderConfigMap
      await print(context, options.output, await agentOf(context, command).config(), render)
    })
}

/** As wide as the guides' own, so that what is cut by columns stays in place. */
const KEY_WIDTH = 50

function renderConfigMap(values: readonly ConfigValue[]): string {
  return formatColumns(configMapData(values), { minWidth: KEY_WIDTH })
}

function renderSources(values: readonly ConfigValue[]): string {
  const rows = [...values].sort((a, b) => (a.key < b.key ? -1 : 1))
  return formatTable(
    ['KEY', 'VALUE', 'SOURCE'],
    rows.map(({ key, value, source }) => [key, text(value), source]),
  )
}

function text(value: unknown): string {
  if (value === undefined || value === null || value === '') return '-'
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(text).join(',')
  return scalar(value)
}
