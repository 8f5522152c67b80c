import { readdirSync } from 'node:fs'
import { release } from 'node:os'
import { dirname } from 'node:path'
import { kernelChecksSums, pathsOf, runCase } from './run.ts'
import { loadObject } from './load.ts'
import { checkPurge } from './purge-cases.ts'
import { TABLES } from './tables/index.ts'
import { objectPath, World } from './world.ts'

/*
 * The packet tables without a test framework, for kernels in a virtual machine where one takes a minute to start. Loads every
 * built object, runs every case, prints what failed, and exits with 1 if anything did.
 */

let failures = 0
let passed = 0

function attempt(name: string, run: () => void): void {
  try {
    run()
    passed++
  } catch (error) {
    failures++
    process.stdout.write(`FAIL ${name}\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  }
}

process.stdout.write(`kernel ${release()}\n`)
for (const file of readdirSync(dirname(objectPath('any'))).filter((name) => name.endsWith('.o'))) {
  const name = file.slice(0, -2)
  const start = performance.now()
  attempt(`load ${name}`, () => {
    const programs = loadObject(name)
    process.stdout.write(`loaded ${name}: ${programs.join(', ')} in ${Math.round(performance.now() - start)} ms\n`)
  })
}

attempt('flows are purged by service and backend', checkPurge)

const world = new World()
try {
  const checksSums = kernelChecksSums(world)
  if (!checksSums) process.stdout.write('SKIP paths [tc-complete]: this kernel cannot check them (before 6.16)\n')
  for (const [subject, cases] of TABLES) {
    for (const test of cases) {
      for (const path of pathsOf(test)) {
        if (path === 'tc-complete' && !checksSums) continue
        attempt(`${subject}: ${test.description} [${path}]`, () => runCase(world, test, path))
      }
    }
  }
} finally {
  world.close()
}
process.stdout.write(`${passed} passed, ${failures} failed\n`)
process.exitCode = failures === 0 ? 0 : 1
