import { fork } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { release } from 'node:os'
import { dirname } from 'node:path'
import { kernelChecksSums, pathsOf, runCase } from './run.ts'
import { loadObject } from './load.ts'
import { checkAdmission, checkPurge } from './purge-cases.ts'
import { TABLES } from './tables/index.ts'
import { objectPath, World } from './world.ts'

/*
 * Tests without a test framework, for kernels in a virtual machine where one takes a minute to start. `--tables` loads every
 * built object and runs every case of the packet tables, `--agent` runs a real agent with real sockets: in a process of its own
 * if it is both, for there are two processors. Prints what failed, and exits with 1 if anything did.
 */

let failures = 0
let passed = 0

function failed(name: string, error: unknown): void {
  failures++
  process.stdout.write(`FAIL ${name}\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
}

function attempt(name: string, run: () => void): void {
  try {
    run()
    passed++
  } catch (error) {
    failed(name, error)
  }
}

function tables(): void {
  for (const file of readdirSync(dirname(objectPath('any'))).filter((name) => name.endsWith('.o'))) {
    const name = file.slice(0, -2)
    const start = performance.now()
    attempt(`load ${name}`, () => {
      const programs = loadObject(name)
      process.stdout.write(`loaded ${name}: ${programs.join(', ')} in ${Math.round(performance.now() - start)} ms\n`)
    })
  }

  attempt('flows are purged by service and backend', checkPurge)
  attempt('a purge spares the clients that a service lets in', checkAdmission)

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
}

interface Counts {
  readonly passed: number
  readonly failed: number
}

function add(counts: Counts): void {
  passed += counts.passed
  failures += counts.failed
}

async function agent(): Promise<void> {
  const { checkAgent } = await import('../net/kernel-agent.ts')
  try {
    add(await checkAgent())
  } catch (error) {
    failed('agent', error)
  }
}

/** The same beside this process, which may block meanwhile. */
async function agentBeside(): Promise<() => Promise<void>> {
  const child = fork(import.meta.filename, [...process.argv.slice(2).filter((flag) => flag !== '--tables'), '--report'])
  let counts: Counts = { passed: 0, failed: 1 }
  child.on('message', (message) => (counts = message as Counts))
  const ended = new Promise((resolve) => child.once('close', resolve))
  await new Promise((resolve) => child.once('spawn', resolve))
  return async () => {
    await ended
    add(counts)
  }
}

const wanted = new Set(process.argv.slice(2))
if (!wanted.has('--report')) process.stdout.write(`kernel ${release()}\n`)
if (wanted.has('--tables')) {
  const end = wanted.has('--agent') ? await agentBeside() : undefined
  tables()
  await end?.()
} else if (wanted.has('--agent')) {
  await agent()
}
if (wanted.has('--report')) process.send?.({ passed, failed: failures } satisfies Counts)
else process.stdout.write(`${passed} passed, ${failures} failed\n`)
process.exitCode = failures === 0 ? 0 : 1
