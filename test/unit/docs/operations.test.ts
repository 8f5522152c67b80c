import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { withMetrics, withSettings } from '../../../scripts/gen-config-doc.ts'

const ROOT = resolve(import.meta.dirname, '../../..')
const PAGE = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8')

/** Codes of errors and problems, as they stand in the sources. */
function codes(): Set<string> {
  const found = new Set<string>()
  const patterns = [/(?:Error|demand|super)\(\s*'([a-z][a-z-]+)'/g, /\bcode: '([a-z][a-z-]+)'/g]
  for (const entry of readdirSync(join(ROOT, 'agent'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
    const text = readFileSync(join(entry.parentPath, entry.name), 'utf8')
    for (const pattern of patterns) for (const [, code] of text.matchAll(pattern)) found.add(code!)
  }
  return found
}

test('the tables of settings are those of the code', () => {
  expect(PAGE.match(/<!-- settings: /g)).toHaveLength(3)
  expect(withSettings(PAGE)).toBe(PAGE)
})

test('the table of metrics is that of the code', () => {
  expect(PAGE.match(/<!-- metrics: all -->/g)).toHaveLength(1)
  expect(withMetrics(PAGE)).toBe(PAGE)
})

test('every code is explained', () => {
  const all = codes()
  expect(all.size).toBeGreaterThan(50)
  expect([...all].filter((code) => !PAGE.includes(`\`${code}\``))).toEqual([])
})
