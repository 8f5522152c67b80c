import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { CATALOGUE } from '../agent/api/metrics/catalogue.ts'
import type { Metric } from '../agent/api/metrics/metric.ts'
import { AGENT_SETTINGS } from '../agent/config.ts'
import { APISERVER_SETTINGS, KVSTOREMESH_SETTINGS } from '../agent/config/exporters.ts'
import type { Setting } from '../agent/lib/settings.ts'
import { between, code, markdownTable } from './doc-table.ts'

/*
 * Writes the tables of settings and metrics into docs/operations.md, between `<!-- settings: NAME -->` or
 * `<!-- metrics: all -->` and `<!-- end -->`.
 * Usage: node build/js/scripts/gen-config-doc.js docs/operations.md
 */

const TABLES: Readonly<Record<string, readonly Setting[]>> = {
  agent: AGENT_SETTINGS,
  apiserver: APISERVER_SETTINGS,
  kvstoremesh: KVSTOREMESH_SETTINGS,
}

/** Shorter names of programs. */
const SHORT: Readonly<Record<string, string>> = { 'clustermesh-apiserver': 'apiserver' }

/** `text` with every table between its markers made anew; throws when a marker names no table. */
export function withSettings(text: string): string {
  return between(text, 'settings', (name) => {
    const settings = TABLES[name]
    if (settings !== undefined) return table(settings)
    throw new Error(`there are no settings of ${name}; known: ${Object.keys(TABLES).join(', ')}`)
  })
}

/** `text` with the table of metrics made anew: one row each, with the programs that show it. */
export function withMetrics(text: string): string {
  return between(text, 'metrics', () => {
    const programs = new Map<Metric, string[]>()
    for (const [program, metrics] of Object.entries(CATALOGUE)) {
      for (const metric of metrics) programs.set(metric, [...(programs.get(metric) ?? []), SHORT[program] ?? program])
    }
    const all = Object.values(CATALOGUE).length
    const rows = [...programs].map(([{ name, labels, help }, by]) => [
      code(name),
      labels.map(code).join(', '),
      by.length === all ? 'all' : by.join(', '),
      help.replace(/\.$/, ''),
    ])
    return markdownTable(['metric', 'labels', 'of', 'what it is'], rows)
  })
}

function table(settings: readonly Setting[]): string {
  const rows = settings.map(({ key, flag, env, description, default: fallback }) => [
    key === 'config' ? '' : code(key),
    code(flag),
    code(env),
    printed(fallback),
    description,
  ])
  return markdownTable(['key in the file', 'flag', 'variable', 'default', 'what it is'], rows)
}

function printed(value: unknown): string {
  if (value === undefined) return '–'
  const one = (item: unknown): string => (typeof item === 'string' ? item : JSON.stringify(item))
  const text = Array.isArray(value) ? value.map(one).join(',') : one(value)
  // A default that depends on the machine is told in words.
  return text.includes(' ') ? text : code(text)
}

const [, script, page] = process.argv
if (script !== undefined && resolve(script) === import.meta.filename) {
  if (page === undefined) throw new Error('name the page: gen-config-doc PAGE')
  writeFileSync(page, withMetrics(withSettings(readFileSync(page, 'utf8'))))
}
