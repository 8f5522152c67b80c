import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import path from 'node:path'

export interface NetworkNamespace {
  /** What it is, however it was found. */
  readonly name: string
  /** Leads there for as long as the process lives by which it was found. */
  readonly path: string
}

/** Processes and cgroups that ended meanwhile, and threaded cgroups, whose processes their parent lists. */
const GONE = ['ENOENT', 'ESRCH', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP']

/** Network namespaces of the processes in a cgroup and below it, the own one first, each once. */
export function networkNamespaces(cgroup: string): NetworkNamespace[] {
  const found = new Map<string, NetworkNamespace>()
  for (const pid of ['self', ...processesIn(cgroup)]) {
    const link = `/proc/${pid}/ns/net`
    try {
      const name = readlinkSync(link)
      if (!found.has(name)) found.set(name, { name, path: link })
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }
  return [...found.values()]
}

/** Whether somebody asked for a process or a cgroup that is not there any more. */
export function isGone(error: unknown): boolean {
  return GONE.includes((error as NodeJS.ErrnoException).code ?? '')
}

function processesIn(directory: string): string[] {
  try {
    const pids = readFileSync(path.join(directory, 'cgroup.procs'), 'utf8').split('\n')
    const below = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    // 0 is a process of another pid namespace.
    const own = pids.filter((pid) => pid !== '' && pid !== '0')
    return own.concat(...below.map(({ name }) => processesIn(path.join(directory, name))))
  } catch (error) {
    if (!isGone(error)) throw error
    return []
  }
}
