import { parseArgs } from 'node:util'
import { Lab } from '../lab/cli.ts'
import { keepLogs, keepTimeline } from './keep.ts'
import { report } from './report.ts'
import { labName } from './stage.ts'
import { storm } from './storm.ts'

/** `node build/js/test/chaos/main.js --duration SECONDS --seed N --kvstoremesh`: exit status 1 when something does not hold. */
const { values } = parseArgs({
  options: { duration: { type: 'string' }, seed: { type: 'string' }, kvstoremesh: { type: 'boolean' } },
})
const ms = Number(values.duration ?? '600') * 1000
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const lab = new Lab(process.env['WEFT_LAB'] ?? labName())
const say = (text: string): void => void process.stderr.write(`${text}\n`)

const keep = (): string => {
  const dir = keepLogs(lab.paths, seed)
  say(`logs and timeline: ${dir}`)
  return dir
}

const down = async (): Promise<void> => void (await lab.run(['down']))
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => {
    say(`${name}: taking the lab down`)
    void down().finally(() => process.exit(1))
  })

say(`seed ${seed}, ${ms / 1000} s`)
try {
  const result = await storm({ lab, seed, ms, say, kvstoremesh: values.kvstoremesh ?? false })
  process.stdout.write(`${report(seed, ms, result)}\n`)
  if (result.lost.length + result.differences.length > 0) {
    keepTimeline(keep(), result)
    process.exitCode = 1
  }
} catch (error) {
  keep()
  throw error
} finally {
  await down()
}
