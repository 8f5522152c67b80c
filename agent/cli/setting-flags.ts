import type { Command } from 'commander'
import type { FlagValues } from './context.ts'
import type { Setting } from '../lib/settings.ts'
import { scalar } from './table.ts'

/**
 * No commander defaults: a value is handed on only if it was given, so that the configuration can say where each came
 * from. A flag the program has already (--socket) keeps its one declaration.
 */
export function addSettings(command: Command, settings: readonly Setting[]): void {
  for (const setting of settings) {
    if (inherited(command, longName(setting)) !== undefined) continue
    const fallback = describeDefault(setting.default)
    const note = `env ${setting.env}${fallback === '' ? '' : `, default ${fallback}`}`
    command.option(setting.flag, `${setting.description} (${note})`)
  }
}

/** What was given on the command line. */
export function givenFlags(command: Command, settings: readonly Setting[]): FlagValues {
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
