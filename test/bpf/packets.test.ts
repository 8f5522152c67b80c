import { afterAll, beforeAll, describe, it } from 'vitest'
import { kernelChecksSums, pathsOf, runCase } from './run.ts'
import { TABLES } from './tables/index.ts'
import { World } from './world.ts'

let world: World | undefined
let checksSums = false

beforeAll(() => {
  world = new World()
  checksSums = kernelChecksSums(world)
})
afterAll(() => world?.close())

describe.each(TABLES)('%s', (_subject, cases) => {
  for (const test of cases) {
    for (const path of pathsOf(test)) {
      it(`${test.description} [${path}]`, ({ skip }) => {
        if (world === undefined) throw new Error('the world was not made')
        if (path === 'tc-complete' && !checksSums)
          skip('this kernel cannot check CHECKSUM_COMPLETE in a test run (before 6.16)')
        runCase(world, test, path)
      })
    }
  }
})
