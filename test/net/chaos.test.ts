import { expect, test } from 'vitest'
import { storm } from '../chaos/storm.ts'

const MINUTES = Number(process.env['WEFT_CHAOS_MINUTES'] ?? '2')

test(
  'a storm over three clusters: dead ones are left in time, and 0 differences remain',
  { timeout: MINUTES * 60_000 + 120_000 },
  async () => {
    const seed = Number(process.env['WEFT_CHAOS_SEED'] ?? Date.now() % 1_000_000)
    const log: string[] = []
    process.stderr.write(`chaos: WEFT_CHAOS_SEED=${seed} repeats this storm\n`)
    const result = await storm({ seed, ms: MINUTES * 60_000, say: (text) => void log.push(text) })
    expect(result.violations, log.join('\n')).toEqual([])
    expect(result.differences, log.join('\n')).toEqual([])
    expect(result.faults).toBeGreaterThan(5)
    expect(result.writes).toBeGreaterThan(1000)
  },
)
