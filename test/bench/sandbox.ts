import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

/**
 * Everything the child makes is in namespaces that end with it: its own mount namespace hides /run/netns and what it mounts.
 * Only the cgroups are the machine's, and go here.
 */
const SANDBOX = 'mount -t tmpfs bench "$0" && mkdir -p /run/netns && mount -t tmpfs netns /run/netns && exec "$@"'

/** Runs a script of this folder on a request, with a scratch directory and cgroups of its own; gives back its JSON lines. */
export async function inSandbox<Reply, Cgroup extends string>(
  script: string,
  names: readonly Cgroup[],
  request: (places: { directory: string; cgroups: Record<Cgroup, string> }) => object,
  timeout: number,
): Promise<Reply[]> {
  const directory = mkdtempSync(path.join(tmpdir(), 'weft-bench-'))
  const parent = sweep(cgroup2())
  const cgroups = Object.fromEntries(names.map((name) => [name, path.join(parent, name)])) as Record<Cgroup, string>
  for (const cgroup of [parent, ...Object.values<string>(cgroups)]) mkdirSync(cgroup)
  try {
    const command = ['sh', '-c', SANDBOX, directory, process.execPath, '--enable-source-maps', script]
    const { stdout } = await promisify(execFile)(
      'unshare',
      ['--mount', '--propagation', 'private', ...command, JSON.stringify(request({ directory, cgroups }))],
      { timeout, killSignal: 'SIGKILL', maxBuffer: 1 << 26 },
    )
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Reply)
  } finally {
    for (const cgroup of [...Object.values<string>(cgroups), parent]) rmdirSync(cgroup)
    rmSync(directory, { recursive: true })
  }
}

function cgroup2(): string {
  const mount = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .find(([, , type]) => type === 'cgroup2')
  if (mount?.[1] === undefined) throw new Error('no cgroup2 is mounted: mount -t cgroup2 none /sys/fs/cgroup')
  return mount[1]
}

/** The name of this run's cgroup; what a killed run left is removed. */
function sweep(root: string): string {
  for (const name of readdirSync(root)) {
    const pid = /^weft-bench-(\d+)$/.exec(name)?.[1]
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    const left = path.join(root, name)
    for (const each of readdirSync(left, { withFileTypes: true })) {
      if (each.isDirectory()) rmdirSync(path.join(left, each.name))
    }
    rmdirSync(left)
  }
  return path.join(root, `weft-bench-${process.pid}`)
}
