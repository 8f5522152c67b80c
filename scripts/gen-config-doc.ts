import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { AGENT_SETTINGS } from '../agent/config.ts'
import { APISERVER_SETTINGS, KVSTOREMESH_SETTINGS } from '../agent/config/exporters.ts'
import type { Setting } from '../agent/lib/settings.ts'

/*
 * Writes the tables of settings into docs/operations.md, between `<!-- settings: NAME -->` and `<!-- end -->`.
 * Usage: node build/js/scripts/gen-config-doc.js docs/operations.md
 */

const TABLES: Readonly<Record<string, readonly Setting[]>> = {
  agent: AGENT_SETTINGS,
  apiserver: APISERVER_SETTINGS,
  kvstoremesh: KVSTOREMESH_SETTINGS,
}

/** `text` with every table between its markers made anew; throws when a marker names no table. */
export function withSettings(text: string): string {
  return text.replace(
    /(<!-- settings: (\S+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, open: string, name: string, close: string) => {
      const settings = TABLES[name]
      if (settings === undefined)
        throw new Error(`there are no settings of ${name}; known: ${Object.keys(TABLES).join(', ')}`)
      return `${open}\n${table(settings)}\n${close}`
    },
  )
}

/** Padded as prettier does it, so that formatting the page changes nothing. */
function table(settings: readonly Setting[]): string {
  const rows = settings.map(({ key, flag, env, description, default: fallback }) => [
    key === 'config' ? '' : code(key),
    code(flag),
    code(env),
    printed(fallback),
    description,
  ])
  const head = ['key in the file', 'flag', 'variable', 'default', 'what it is']
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |\n`
  return line(head) + line(widths.map((width) => '-'.repeat(width))) + rows.map(line).join('')
}

function printed(value: unknown): string {
  if (value === undefined) return '–'
  const one = (item: unknown): string => (typeof item === 'string' ? item : JSON.stringify(item))
  const text = Array.isArray(value) ? value.map(one).join(',') : one(value)
  // A default that depends on the machine is told in words.
  return text.includes(' ') ? text : code(text)
}

function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``
}

const [, script, page] = process.argv
if (script !== undefined && resolve(script) === import.meta.filename) {
  if (page === undefined) throw new Error('name the page: gen-config-doc PAGE')
  writeFileSync(page, withSettings(readFileSync(page, 'utf8')))
}
