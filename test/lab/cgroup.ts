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
 * The kernel keeps the membership, so this is exact even when the lab was killed before it could write a pid down:
 * only what the lab started (and its children) can be in there.
 */
export async function destroyCgroup(dir: string, timeoutMs = 10_000): Promise<void> {
  if (!existsSync(dir)) return
  const deadline = performance.now() + timeoutMs
  writeFileSync(path.join(dir, 'cgroup.kill'), '1')
  while (processesIn(dir).length > 0) {
    if (performance.now() > deadline) {
      throw new LabError('will-not-die', `processes ${processesIn(dir).join(', ')} in ${dir} survive SIGKILL`)
    }
    await delay(5)
  }
  await removeTree(dir, deadline)
}

/** An emptied cgroup can stay busy for a moment while the kernel lets go of the last task. */
async function removeTree(dir: string, deadline: number): Promise<void> {
  for (const child of subgroups(dir)) await removeTree(child, deadline)
  for (;;) {
    try {
      rmdirSync(dir)
      return
    } catch (error) {
      if (isGone(error)) return
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || performance.now() > deadline) throw error
    }
    await delay(5)
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

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (isGone(error)) return ''
    throw error
  }
}
