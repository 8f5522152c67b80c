import { parseArgs } from 'node:util'
import { storm } from './storm.ts'

/** `node build/js/test/chaos/main.js --minutes 10 --seed N`: exit status 1 when something does not hold. */
const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } })
const minutes = Number(values.minutes ?? '10')
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const say = (text: string): void => void process.stderr.write(`${text}\n`)
say(`seed ${seed}, ${minutes} minutes`)
const result = await storm({ seed, ms: minutes * 60_000, say })
process.stdout.write(`${JSON.stringify({ seed, minutes, ...result }, null, 2)}\n`)
process.exitCode = result.violations.length + result.differences.length === 0 ? 0 : 1
