import { execFileSync } from 'node:child_process'
import type { Address } from '../../agent/types/address.ts'
import type { MaglevBackend } from '../../agent/desired/maglev.ts'
import { DEFAULT_MAGLEV_SEED } from '../../agent/types/maglev.ts'
import type { Result } from './report.ts'
import { backendName, maglevTable, parseMaglevSeed } from '../../agent/desired/maglev.ts'
import { interleave, median, ratio } from './measure.ts'
import { built, pinned } from './place.ts'
import { result, us } from './report.ts'

const ROUNDS = 15
const RUNS = 40
const BACKENDS = 100
const SIZE = 16381

export const MAGLEV_IDS = ['C5']

/** The same table by the same steps in TypeScript and in C. */
export async function benchMaglev(): Promise<Result[]> {
  const backends: MaglevBackend[] = Array.from({ length: BACKENDS }, (_, i) => ({
    address: (0x0a800000 + i) as Address,
    port: 8080,
    protocol: 6,
    weight: 100,
  }))
  const seed = parseMaglevSeed(DEFAULT_MAGLEV_SEED).table
  let hash = 0
  for (const entry of maglevTable(backends, SIZE, seed)) hash = (Math.imul(hash, 31) + entry) >>> 0
  const ours = (): number => {
    const start = performance.now()
    for (let i = 0; i < RUNS; i++) maglevTable(backends, SIZE, seed)
    return ((performance.now() - start) * 1e6) / RUNS
  }
  const names = (): number => {
    const start = performance.now()
    for (let i = 0; i < RUNS; i++) backends.map(backendName)
    return ((performance.now() - start) * 1e6) / RUNS
  }
  const peer = (): number => {
    const text = execFileSync(built('maglev'), [RUNS, BACKENDS, SIZE].map(String), { encoding: 'utf8' })
    const reply = JSON.parse(text) as { ns: number; hash: number }
    if (reply.hash !== hash) throw new Error('the table in C is another one')
    return reply.ns
  }
  const samples = await pinned(async () => {
    ours()
    return interleave(ROUNDS, { c: peer, ts: ours, names })
  })
  return [
    result({
      id: 'C5',
      what: `Maglev table, ${BACKENDS} backends, ${SIZE} entries`,
      measured: ratio(samples.ts, samples.c),
      goal: 2.2,
      against: `C, -O2 ${us(median(samples.c))}`,
      profile: `names ${us(median(samples.names))}, the rest is their order, hashes and turns`,
      detail: `TypeScript ${us(median(samples.ts))}`,
    }),
  ]
}
