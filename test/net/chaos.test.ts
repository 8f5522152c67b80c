import { afterAll, expect, test } from 'vitest'
import { report, requestsOf } from '../chaos/report.ts'
import { labName } from '../chaos/stage.ts'
import { storm } from '../chaos/storm.ts'
import { Lab } from '../lab/cli.ts'

const SECONDS = Number(process.env['WEFT_CHAOS_SECONDS'] ?? '120')
const SEED = Number(process.env['WEFT_CHAOS_SEED'] ?? 7)
const lab = new Lab(labName())

afterAll(async () => {
  await lab.run(['down'])
})

test(
  'a storm over three clusters: what is gone is left in time, no request is lost after that, 0 differences remain',
  { timeout: SECONDS * 1000 + 480_000 },
  async () => {
    process.stderr.write(`chaos: WEFT_CHAOS_SEED=${SEED} repeats this storm\n`)
    const ms = SECONDS * 1000
    const result = await storm({ lab, seed: SEED, ms, say: () => undefined, kvstoremesh: false })
    const told = report(SEED, ms, result)
    process.stderr.write(`${told}\n`)
    expect(result.lost, told).toEqual([])
    expect(result.differences, told).toEqual([])
    expect(result.faults.length, told).toBeGreaterThan(SECONDS / 8)
    expect(result.writes, told).toBeGreaterThan(SECONDS * 30)
    expect(result.verdicts.proof ?? 0, told).toBeGreaterThan(SECONDS / 2)
    expect(requestsOf(result), told).toBeGreaterThan(SECONDS * 30)
  },
)
