import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { FillReply } from './fill-child.ts'
import type { Result } from './report.ts'
import { median, ratio } from './measure.ts'
import { ahead, built } from './place.ts'
import { ms, result } from './report.ts'

const ROUNDS = 7
const WARM = 4

export const FILL_IDS = ['C1']

interface Cost {
  readonly wall: number
  readonly cpu: number
}

/** 10 000 services of 10 backends, rows to maps in a process just started, beside a C program's batch updates. */
export async function benchFill(): Promise<Result[]> {
  const child = fileURLToPath(new URL(import.meta.url.replace(/fill\.([jt]s)$/, 'fill-child.$1')))
  const classic = (...args: string[]): Cost => parse<Cost>(built('classic'), args)[0]!
  const ours: FillReply[] = []
  const warm: FillReply[] = []
  const floor: Cost[] = []
  const prealloc: Cost[] = []
  await ahead(async () => {
    for (let round = 0; round < ROUNDS; round++) {
      floor.push(classic())
      const [cold, ...rest] = parse<FillReply>(process.execPath, [child, String(round === 0 ? WARM : 0)])
      ours.push(cold!)
      warm.push(...rest)
      prealloc.push(classic('prealloc'))
    }
  })
  const wall = (costs: readonly Cost[]): number[] => costs.map((cost) => cost.wall)
  const cpu = (costs: readonly Cost[]): number[] => costs.map((cost) => cost.cpu)
  const part = (i: number): string => ms(median(ours.map((each) => each.parts[i]!)))
  return [
    result({
      id: 'C1',
      what: '10 000 services × 10 backends, rows → maps, cold process',
      measured: ratio(wall(ours), wall(floor)),
      goal: 1,
      against: `C, 220k entries in 3 batches ${ms(median(wall(floor)))}`,
      detail:
        `${ms(median(wall(ours)))}, CPU ${ms(median(cpu(ours)))} (${ratio(cpu(ours), cpu(floor)).toFixed(2)} ×); ` +
        `warm ${ms(median(wall(warm)))}; C with preallocated maps ${ms(median(wall(prealloc)))}`,
      profile: `rows into tables ${part(0)}, tables to frontends ${part(1)}, frontends into maps ${part(2)}`,
    }),
  ]
}

function parse<T>(command: string, args: readonly string[]): T[] {
  const text = execFileSync(command, args, { encoding: 'utf8', timeout: 60_000 })
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T)
}
