import { fork } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { release, uptime } from 'node:os'
import { dirname } from 'node:path'
import { type Case, kernelChecksSums, pathsOf, runCase } from './run.ts'
import { loadObject } from './load.ts'
import { checkAdmission, checkPurge } from './purge-cases.ts'
import { TABLES } from './tables/index.ts'
import { hooksOf, type Loaded, objectPath, World } from './world.ts'

/*
 * Tests without a test framework, for kernels in a virtual machine where one takes a minute to start. `--tables` loads every
 * program of every built object and runs every case of the packet tables, `--agent` runs a real agent with real sockets. Prints
 * what failed, and exits with 1 if anything did.
 *
 * The time goes to the verifier, which uses one processor for each program that is loaded. So the work is done in several
 * processes, of which none takes more than half of it: two processors are then busy until the end.
 */

interface Counts {
  passed: number
  failed: number
}

type Part = (counts: Counts) => void | Promise<void>

/** What `--part` names, by the flag that wants it. */
const PARTS: Readonly<Record<'--tables' | '--agent', Readonly<Record<string, Part>>>> = {
  '--tables': { defaults, settings },
  '--agent': { agent },
}

function say(what: string): void {
  process.stdout.write(`${String(Math.round(uptime())).padStart(4)} s: ${what}\n`)
}

function attempt(counts: Counts, name: string, run: () => void): void {
  try {
    run()
    counts.passed++
  } catch (error) {
    counts.failed++
    process.stdout.write(`FAIL ${name}\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  }
}

function sayLoaded({ program, config, ms }: Loaded): void {
  const settings = Object.keys(config).join(' ')
  say(`loaded ${program}${settings && ` with ${settings}`} in ${Math.round(ms)} ms`)
}

/** Programs as they are, and the cases that want them so. Those of a world are its own: beside them are maps in their full size. */
function defaults(counts: Counts): void {
  const world = new World({ onLoad: sayLoaded })
  try {
    for (const file of readdirSync(dirname(objectPath('any'))).filter((name) => name.endsWith('.o'))) {
      const name = file.slice(0, -2)
      attempt(counts, `load ${name}`, () => {
        const start = performance.now()
        const hooks = hooksOf(name)
        const programs = loadObject(name, [...hooks.keys()])
        for (const hook of hooks.values()) world.program(hook, {})
        say(`loaded ${name}: ${programs.join(', ')} in ${Math.round(performance.now() - start)} ms`)
      })
    }
    attempt(counts, 'flows are purged by service and backend', checkPurge)
    attempt(counts, 'a purge spares the clients that a service lets in', checkAdmission)
    tables(counts, world, (test) => test.config === undefined)
  } finally {
    world.close()
  }
}

/** The cases that want other settings: each set of them is a program to load. */
function settings(counts: Counts): void {
  const world = new World({ onLoad: sayLoaded })
  try {
    tables(counts, world, (test) => test.config !== undefined)
  } finally {
    world.close()
  }
}

function tables(counts: Counts, world: World, wanted: (test: Case) => boolean): void {
  const checksSums = kernelChecksSums(world)
  if (!checksSums) say('SKIP paths [tc-complete]: this kernel cannot check them (before 6.16)')
  for (const [subject, cases] of TABLES) {
    for (const test of cases.filter(wanted)) {
      for (const path of pathsOf(test)) {
        if (path === 'tc-complete' && !checksSums) continue
        attempt(counts, `${subject}: ${test.description} [${path}]`, () => runCase(world, test, path))
      }
    }
  }
}

async function agent(counts: Counts): Promise<void> {
  const { checkAgent } = await import('../net/kernel-agent.ts')
  try {
    const { passed, failed } = await checkAgent()
    counts.passed += passed
    counts.failed += failed
  } catch (error) {
    attempt(counts, 'agent', () => {
      throw error
    })
  }
}

/** In a process of its own. One that dies has failed. */
async function beside(part: string): Promise<Counts> {
  const child = fork(import.meta.filename, [...process.argv.slice(2), '--part', part])
  let counts: Counts = { passed: 0, failed: 1 }
  child.on('message', (message) => (counts = message as Counts))
  await new Promise((resolve) => child.once('close', resolve))
  say(`${part}: ${counts.passed} passed, ${counts.failed} failed`)
  return counts
}

async function main(args: readonly string[]): Promise<number> {
  const parts = Object.entries(PARTS).flatMap(([flag, of]) => (args.includes(flag) ? Object.entries(of) : []))
  const own = parts.find(([name]) => name === args[args.indexOf('--part') + 1])
  const total: Counts = { passed: 0, failed: 0 }
  if (args.includes('--part') && own !== undefined) {
    await own[1](total)
    process.send?.(total)
    return total.failed
  }
  process.stdout.write(`kernel ${release()}\n`)
  for (const counts of await Promise.all(parts.map(([name]) => beside(name)))) {
    total.passed += counts.passed
    total.failed += counts.failed
  }
  process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`)
  return total.failed
}

process.exitCode = (await main(process.argv.slice(2))) === 0 ? 0 : 1
