import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ConnectReply, ConnectRequest, Way } from './connect-child.ts'
import type { Result } from './report.ts'
import { median, ratio } from './measure.ts'
import { result, us } from './report.ts'

const SERVICES = [10, 10_000] as const
const WAYS: Readonly<Record<Way, { id: string; what: string; against: string }>> = {
  socket: { id: 'E1', what: 'TCP connect, ClusterIP by socket', against: 'direct' },
  nodeport: { id: 'E1n', what: 'TCP connect, NodePort to a remote backend, SNAT', against: 'fwd' },
}
const GOAL = 1.1

export const CONNECT_IDS = ['E1', 'E1n']

/**
 * Everything the child makes is in namespaces that end with it: its own mount namespace hides /run/netns and what it mounts.
 * Only the cgroups are the machine's, and go here.
 */
const SANDBOX = 'mount -t tmpfs bench "$0" && mkdir -p /run/netns && mount -t tmpfs netns /run/netns && exec "$@"'

export async function benchConnect(ids: ReadonlySet<string>): Promise<Result[]> {
  const ways = (Object.keys(WAYS) as Way[]).filter((way) => ids.has(WAYS[way].id))
  const directory = mkdtempSync(path.join(tmpdir(), 'weft-bench-'))
  const parent = sweep(cgroup2())
  const cgroups = { weft: path.join(parent, 'weft'), plain: path.join(parent, 'plain') }
  for (const cgroup of [parent, cgroups.weft, cgroups.plain]) mkdirSync(cgroup)
  try {
    const request: ConnectRequest = { directory, cgroups, services: SERVICES, ways }
    const child = fileURLToPath(new URL(import.meta.url.replace(/connect\.([jt]s)$/, 'connect-child.$1')))
    const command = ['sh', '-c', SANDBOX, directory, process.execPath, '--enable-source-maps', child]
    const { stdout } = await promisify(execFile)(
      'unshare',
      ['--mount', '--propagation', 'private', ...command, JSON.stringify(request)],
      { timeout: 180_000, killSignal: 'SIGKILL' },
    )
    const replies = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as ConnectReply)
    return ways.flatMap((way) => replies.filter((reply) => reply.way === way).map(resultOf))
  } finally {
    for (const cgroup of [cgroups.weft, cgroups.plain, parent]) rmdirSync(cgroup)
    rmSync(directory, { recursive: true })
  }
}

function resultOf({ services, way, plain, weft, programs }: ConnectReply): Result {
  const { id, what, against } = WAYS[way]
  return result({
    id: `${id}@${services}`,
    what: `${what}, ${services} services`,
    measured: ratio(weft, plain),
    goal: GOAL,
    against: `${against} ${us(median(plain))}`,
    detail: `p50 ${us(median(weft))}`,
    profile: `programs per connection, its end included: ${programs}`,
  })
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
    for (const each of ['weft', 'plain', '.'])
      if (existsSync(path.join(root, name, each))) rmdirSync(path.join(root, name, each))
  }
  return path.join(root, `weft-bench-${process.pid}`)
}
