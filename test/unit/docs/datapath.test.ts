import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../../..')
const PAGE = readFileSync(join(ROOT, 'docs/DATAPATH.md'), 'utf8')
/** What is measured, not proved. */
const WITHOUT_PROOF = ['Every walk, and what proves it', 'Speed', 'Kernel']

/** Files that a text names; a bare name is a file beside the one before it. */
function filesIn(text: string): string[] {
  let directory = ''
  return [...text.matchAll(/`([\w./-]+\.ts)`/g)].map(([, name = '']) => {
    if (name.includes('/')) directory = dirname(name)
    return name.includes('/') ? name : join(directory, name)
  })
}

const missing = (files: readonly string[]): string[] => files.filter((file) => !existsSync(join(ROOT, file)))
const sections = PAGE.split(/^## /m).slice(1)

describe('docs/DATAPATH.md', () => {
  test.each(sections.map((section) => [section.split('\n', 1)[0]!, section] as const))(
    '%s: proofs exist',
    (title, section) => {
      const proofs = section.split('\n\n').filter((paragraph) => /^Proof\b/.test(paragraph))
      if (WITHOUT_PROOF.includes(title)) return expect(proofs).toEqual([])
      expect(proofs.length).toBeGreaterThan(0)
      for (const proof of proofs) {
        expect(filesIn(proof), proof).not.toEqual([])
        expect(missing(filesIn(proof)), proof).toEqual([])
      }
    },
  )

  test('every walk has a test', () => {
    const table = sections.find((section) => section.startsWith(WITHOUT_PROOF[0]!)) ?? ''
    const rows = table.split('\n').filter((line) => line.startsWith('| ') && !/^\| (who|-)/.test(line))
    expect(rows.length).toBeGreaterThan(15)
    for (const row of rows) {
      expect(filesIn(row), row).not.toEqual([])
      expect(missing(filesIn(row)), row).toEqual([])
    }
  })
})
