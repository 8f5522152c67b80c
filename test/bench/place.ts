import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { availableParallelism } from 'node:os'

/** The folder with package.json: above the sources as above what is built from them. */
function root(): string {
  let at = path.dirname(fileURLToPath(import.meta.url))
  while (!existsSync(path.join(at, 'package.json'))) at = path.dirname(at)
  return at
}

/** Where `make` puts everything. */
export const BUILD = path.join(root(), 'build')

/** A program or object of this folder's Makefile. */
export function built(name: string): string {
  return path.join(BUILD, 'bench', name)
}

const pid = String(process.pid)

/** Runs this process and what it starts before all others while `work` runs: who is interrupted counts the interruption. */
export async function ahead<T>(work: () => Promise<T>): Promise<T> {
  execFileSync('chrt', ['--fifo', '-p', '1', pid])
  try {
    return await work()
  } finally {
    execFileSync('chrt', ['--other', '-p', '0', pid])
  }
}

/** The same on one CPU: a test run that moves pays for cold caches. */
export async function pinned<T>(work: () => Promise<T>): Promise<T> {
  const mask = execFileSync('taskset', ['-p', pid], { encoding: 'utf8' }).split(':').at(-1)!.trim()
  execFileSync('taskset', ['-cp', String(availableParallelism() - 1), pid])
  try {
    return await ahead(work)
  } finally {
    execFileSync('taskset', ['-p', mask, pid])
  }
}

/** Of the session this process belongs to: how it shares the CPUs with other sessions. */
const GROUP = '/proc/self/autogroup'

/**
 * Runs everything of this session before what other sessions run, where the kernel groups by session. Unlike real-time
 * scheduling, processes and threads in it take turns as they always do.
 */
export async function sessionAhead<T>(work: () => Promise<T>): Promise<T> {
  if (!existsSync(GROUP)) return work()
  writeFileSync(GROUP, '-20')
  try {
    return await work()
  } finally {
    writeFileSync(GROUP, '0')
  }
}

/** A size that a loaded machine may ask to be smaller. */
export function fromEnvironment(name: string, usual: number): number {
  const asked = Number(process.env[name] ?? usual)
  if (!Number.isInteger(asked) || asked < 1) throw new Error(`${name} is to be a whole number above 0`)
  return asked
}
