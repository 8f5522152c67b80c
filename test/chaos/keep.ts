import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { builtFile, type LabPaths } from '../lab/paths.ts'
import { describeFault } from './schedule.ts'
import type { StormResult } from './storm.ts'

/**
 * Keeps what a storm that failed can be traced by, for its lab goes down: the log of every process. Returns the directory. Where
 * a process' clock was stepped, so are the times in its log.
 */
export function keepLogs(lab: LabPaths, seed: number): string {
  const dir = builtFile(lab, 'reports', `chaos-${seed}`)
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  // One that did not come up has none.
  const files = existsSync(lab.state) ? readdirSync(lab.state, { recursive: true, encoding: 'utf8' }) : []
  for (const file of files)
    if (file.endsWith('.log')) copyFileSync(path.join(lab.state, file), path.join(dir, file.replaceAll('/', '_')))
  return dir
}

/** One line of time, with all faults and every request that failed. */
export function keepTimeline(dir: string, { began, faults, failed, differences }: StormResult): void {
  const wall = (at: number): string => new Date(began + at).toISOString().slice(11, 23)
  const lines = [
    ...faults.map((fault) => ({ at: fault.at, text: describeFault(fault) })),
    ...failed.map(({ at, verdict, answer: { route, outcome, from, start, end } }) => ({
      at,
      text: `${(at / 1000).toFixed(1).padStart(6)} s  ${verdict === 'lost' ? 'LOST' : verdict} ${route} from ${from}: ${outcome} after ${(end - start).toFixed()} ms`,
    })),
  ].sort((a, b) => a.at - b.at)
  const timeline = [...lines.map(({ at, text }) => `${wall(at)} ${text}`), ...differences]
  writeFileSync(path.join(dir, 'timeline'), `${timeline.join('\n')}\n`)
}
