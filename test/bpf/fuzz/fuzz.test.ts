import { randomInt } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { fuzz } from './fuzz.ts'
import { Node } from './node.ts'

/*
 * Programs and model side by side, frame by frame. FUZZ_SEED draws other frames ("random": of its own choice), FUZZ_FRAMES says how
 * many. Without it they are always the same: what a change breaks is told from what nobody had met before.
 */

const { FUZZ_SEED: seed = '1521667449' } = process.env
const SEED = seed === 'random' ? randomInt(2 ** 32) : Number(seed)
const FRAMES = Number(process.env['FUZZ_FRAMES'] ?? 200_000)
const MINUTES = 20

let node: Node | undefined

beforeAll(() => {
  node = new Node()
})
afterAll(() => node?.close())

it(
  `${FRAMES} frames do what the model says (FUZZ_SEED=${SEED})`,
  () => {
    if (node === undefined) throw new Error('there is no node')
    const start = performance.now()
    const { frames, failure } = fuzz(node, SEED, FRAMES)
    const rate = Math.round((frames / (performance.now() - start)) * 1000)
    process.stdout.write(`fuzz: FUZZ_SEED=${SEED}, ${frames} frames, ${rate} a second\n`)
    expect(failure, `FUZZ_SEED=${SEED} after ${frames} frames`).toBeUndefined()
  },
  MINUTES * 60_000,
)
