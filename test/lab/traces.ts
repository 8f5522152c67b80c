import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import path from 'node:path'
import { cgroup2Mount, type LabPaths } from './paths.ts'
import { isGone, startTime } from './process.ts'

/**
 * Everything on the machine that belongs to a lab: for the test that `down` leaves nothing, and for people who ask what is left.
 * Nothing of it is read from the lab's own records.
 */
export interface Traces {
  /** Processes in the lab's cgroup, or with its state directory on their command line. */
  readonly processes: readonly string[]
  readonly mounts: readonly string[]
  readonly cgroups: readonly string[]
  readonly files: readonly string[]
  /** Network namespaces of those processes, other than our own. */
  readonly namespaces: readonly string[]
}

export function tracesOf(lab: LabPaths): Traces {
  const slug = path.basename(lab.state)
  const exactly = new RegExp(`(^|/)${slug}(/|\\.lock$|$)`)
  const members = pids().filter((pid) => belongs(pid, lab, slug))
  const own = readlinkSync('/proc/self/ns/net')
  const namespaces = new Set(
    members.map((pid) => link(`/proc/${String(pid)}/ns/net`)).filter((ns) => ns !== own && ns !== ''),
  )
  return {
    processes: members.map((pid) => `${String(pid)} ${text(`/proc/${String(pid)}/cmdline`).replaceAll('\0', ' ')}`),
    mounts: text('/proc/self/mountinfo')
      .split('\n')
      .filter((line) => exactly.test(line.split(' ')[4] ?? '')),
    cgroups: readdirSync(cgroup2Mount()).filter((name) => exactly.test(name)),
    files: readdirSync('/run').filter((name) => exactly.test(name)),
    namespaces: [...namespaces],
  }
}

/** The network namespaces that any process on the machine is in. */
export function liveNamespaces(): Set<string> {
  return new Set(pids().map((pid) => link(`/proc/${String(pid)}/ns/net`)))
}

function belongs(pid: number, lab: LabPaths, slug: string): boolean {
  if (pid === process.pid || startTime(pid) === undefined) return false
  const groups = text(`/proc/${String(pid)}/cgroup`).split('\n')
  if (groups.some((line) => line.startsWith('0::') && line.split('/').includes(slug))) return true
  return text(`/proc/${String(pid)}/cmdline`)
    .split('\0')
    .some((argument) => argument === lab.state || argument.includes(`${lab.state}/`))
}

const pids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)

function text(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (isGone(error) || (error as NodeJS.ErrnoException).code === 'EACCES') return ''
    throw error
  }
}

function link(file: string): string {
  try {
    return readlinkSync(file)
  } catch (error) {
    if (isGone(error) || (error as NodeJS.ErrnoException).code === 'EACCES') return ''
    throw error
  }
}
