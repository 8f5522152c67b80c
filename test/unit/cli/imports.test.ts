import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..')
const STATIC_IMPORT = /^(?:import|export)\s+(type\s)?(?:[^'"]*?\sfrom\s+)?'([^']+)'/gm

/** Everything that is loaded before a command runs: what static imports reach, types left out. */
function loadedBy(entry: string): { files: Set<string>; packages: Set<string> } {
  const files = new Set<string>()
  const packages = new Set<string>()
  const visit = (file: string): void => {
    if (files.has(file)) return
    files.add(file)
    for (const [, type, specifier] of readFileSync(file, 'utf8').matchAll(STATIC_IMPORT)) {
      if (type !== undefined) continue
      if (specifier!.startsWith('.')) visit(join(dirname(file), specifier!))
      else if (!specifier!.startsWith('node:')) packages.add(specifier!)
    }
  }
  visit(join(ROOT, entry))
  return { files: new Set([...files].map((file) => relative(ROOT, file))), packages }
}

it('a command that only asks loads the command parser and nothing heavy', () => {
  const { files, packages } = loadedBy('agent/main.ts')
  expect(files).toContain('agent/cli/bpf/read-services.ts')
  expect([...packages]).toEqual(['commander'])
  expect([...files].filter((file) => /^(native|agent\/(config|agent|apiserver)\.ts)/.test(file))).toEqual([])
})
