import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LabError } from './errors.ts'
import { isGone } from './process.ts'

/** Makes a cgroup directory and its parents. cgroupfs makes directories one by one, so the parents come first. */
export function makeCgroup(dir: string): void {
  if (existsSync(dir)) return
  makeCgroup(path.dirname(dir))
  try {
    mkdirSync(dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** The pids in a cgroup and in all below it. */
export function processesIn(dir: string): number[] {
  const own = readIfThere(path.join(dir, 'cgroup.procs')).split('\n').filter(Boolean).map(Number)
  return [...own, ...subgroups(dir).flatMap((child) => processesIn(child))]
}

/**
 * Kills everything in a cgroup and removes it with all below it.
 *
 * The kernel keeps the membership, so this is exact even when the lab was killed before it could write a pid down: only what
 * the lab started (and its children) can be in there. Again and again until it is gone: a command may be on its way in, and
 * an emptied cgroup stays busy for a moment while the kernel lets go of the last task.
 */
export async function destroyCgroup(dir: string, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (existsSync(dir)) {
    writeIfThere(path.join(dir, 'cgroup.kill'), '1')
    if (processesIn(dir).length === 0 && removedTree(dir)) return
    if (performance.now() > deadline) throw new LabError('will-not-die', survivors(dir))
    await delay(5)
  }
}

function survivors(dir: string): string {
  const pids = processesIn(dir)
  return pids.length > 0 ? `processes ${pids.join(', ')} in ${dir} survive SIGKILL` : `the kernel keeps ${dir} busy`
}

/** False while some of it is busy. */
function removedTree(dir: string): boolean {
  if (!subgroups(dir).every(removedTree)) return false
  try {
    rmdirSync(dir)
    return true
  } catch (error) {
    if (isGone(error)) return true
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false
    throw error
  }
}

function subgroups(dir: string): string[] {
  try {
    const entries = readdirSync(dir, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map((entry) => path.join(dir, entry.name))
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

function writeIfThere(file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (isGone(error)) return ''
    throw error
  }
}
