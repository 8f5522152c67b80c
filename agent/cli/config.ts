import type { Command } from 'commander'
import type { ConfigValue } from '../api/types.ts'
import type { CliContext, Format } from './context.ts'
import { agentOf, formatOption, print } from './context.ts'
import { formatTable, scalar } from './table.ts'

export function addConfig(program: Command, context: CliContext): void {
  const config = program
    .command('config')
    .summary('configuration of the agent')
    .description('Configuration of the agent.')
  config
    .command('view')
    .summary('every setting, its value and where it came from')
    .description('Show every setting of the running agent, its value and where it came from.')
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft config view\n  weft config view | grep -v default')
    .action(async (options: { output: Format }, command: Command) => {
      await print(context, options.output, await agentOf(context, command).config(), renderConfig)
    })
}

export function renderConfig(values: readonly ConfigValue[]): string {
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
