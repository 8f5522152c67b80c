/**
 * Runs alone in a mount namespace of its own, as lanes-child.ts does. Starts agents on nodes that know nothing and asks all
 * services until each has answered; prints one JSON line for each start.
 */
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { eventually } from '../eventually.ts'
import type { KubeMode } from './kube-peer.ts'
import type { Lane } from './lanes.ts'
import { KubeApi, type KubeService, manifests } from './kube-api.ts'
import { filler, KubeProxies } from './kube-peer.ts'
import { BACKEND_NETNS, configure, inNetns, wire } from './lanes.ts'
import { Program } from './peers.ts'
import { BUILD, built } from './place.ts'
import { SERVICE } from './weft-node.ts'

export interface StartRequest {
  /** Scratch directory; empty. */
  readonly directory: string
  readonly cgroups: Readonly<Record<'weft' | 'plain', string>>
  readonly services: number
  readonly backends: number
  /** Who starts, in this order. */
  readonly starts: readonly Starter[]
}

export type Starter = 'weft' | KubeMode

export interface StartReply {
  readonly who: Starter
  /** Milliseconds until a service was last seen not to answer, and until all had been asked. */
  readonly last: number
  readonly all: number
  /** Of the process and what it called, in milliseconds. */
  readonly cpu: number
  /** Some time after its last start: what the start itself needed is given back by then, if ever. */
  readonly rssMb: number | undefined
  /** Milliseconds until it had logged what it had done. */
  readonly steps: Readonly<Record<string, number>>
}

interface Probed {
  readonly missing: number
  readonly all: number
  readonly pass: number
  readonly never: number
}

const LIMIT_S = 180
const PER_FILE = 100
const TICKS_A_SECOND = 100
const SETTLE_MS = 12_000
/** Steps of a start, and what weft logs at the end of each. */
const STEPS = { 'programs and maps': 'devices', 'first list': 'first list complete' } as const

const request = JSON.parse(process.argv[2] ?? '') as StartRequest
const { cgroups, directory } = request
const services = Array.from({ length: request.services }, (_, n) => filler(n, request.backends))
const modes = [...new Set(request.starts)].filter((who) => who !== 'weft')
const lanes = wire(['weft', ...modes])
// Every backend's address is this one namespace, so that each service has ten of its own and all answer.
configure('backend', ['route add local 10.128.0.0/14 dev lo'])
// A link is not up at once, and programs on a node take its addresses as they find them.
for (const { name } of lanes) {
  await eventually(
    () => execFileSync('ip', ['-netns', name, 'link', 'show', 'up0'], { encoding: 'utf8' }).includes('state UP'),
    {
      what: `the links of ${name} are up`,
    },
  )
}

const kube = `${directory}/kube`
const api = modes.length > 0 ? await KubeApi.start(kube) : undefined
const proxies = api && new KubeProxies(kube)
const kubeconfigs: Partial<Record<Starter, string>> = {}
if (api) for (const mode of modes) kubeconfigs[mode] = await api.addNode(laneOf(mode))
await api?.create(services)
writeManifests(services)

for (const [n, who] of request.starts.entries()) {
  const isLast = request.starts.lastIndexOf(who) === n
  const reply = who === 'weft' ? await startWeft(n, isLast) : await startProxy(who, isLast)
  process.stdout.write(`${JSON.stringify(reply)}\n`)
}
await api?.close()

function laneOf(who: Starter): Lane {
  return lanes.find(({ name }) => name === who)!
}

function writeManifests(all: readonly KubeService[]): void {
  mkdirSync(path.join(directory, 'manifests'))
  for (let n = 0; n < all.length; n += PER_FILE) {
    const objects = all.slice(n, n + PER_FILE).flatMap((each) => Object.values(manifests(each)))
    const text = objects.map((object) => `---\n${JSON.stringify(object)}\n`).join('')
    writeFileSync(path.join(directory, 'manifests', `${String(n).padStart(6, '0')}.yaml`), text)
  }
}

async function startWeft(n: number, isLast: boolean): Promise<StartReply> {
  const state = path.join(directory, `weft-${n}`)
  const bpffs = path.join(state, 'bpffs')
  mkdirSync(bpffs, { recursive: true })
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs])
  const flags = {
    'node-name': 'weft',
    uplink: 'up0',
    devices: 'up+',
    manifests: path.join(directory, 'manifests'),
    'bpf-root': bpffs,
    'cgroup-root': cgroups.weft,
    'state-dir': state,
  }
  const argv = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])
  const command = [process.execPath, path.join(BUILD, 'weft/main.js'), 'agent', ...argv] as const
  const lane = laneOf('weft')
  try {
    const start = (): Program => new Program(lane.netns, [...command], path.join(state, 'log'))
    return await timed('weft', start, { cgroup: cgroups.weft, isLast })
  } finally {
    // The pins go, and with them what is attached.
    execFileSync('umount', [bpffs])
  }
}

async function startProxy(mode: KubeMode, isLast: boolean): Promise<StartReply> {
  const lane = laneOf(mode)
  try {
    return await timed(mode, () => proxies!.start(lane, mode, kubeconfigs[mode]!), { cgroup: cgroups.plain, isLast })
  } finally {
    for (const table of ['nat', 'filter', 'mangle']) {
      for (const what of ['-F', '-X']) inNetns(lane.name, 'xtables-legacy-multi', 'iptables', '-t', table, what)
    }
    inNetns(lane.name, 'nft', 'flush', 'ruleset')
  }
}

async function timed(
  who: Starter,
  start: () => Program,
  { cgroup, isLast }: { cgroup: string; isLast: boolean },
): Promise<StartReply> {
  const { tcp } = SERVICE
  const to = [services[0]!.clusterIP, services.length, tcp.port, LIMIT_S]
  const args = [BACKEND_NETNS, tcp.target, laneOf(who).netns, cgroup, ...to].map(String)
  const asking = promisify(execFile)('setpriv', ['--pdeathsig', 'KILL', built('probe'), ...args], { encoding: 'utf8' })
  const began = Number(process.hrtime.bigint())
  const beganAt = Date.now()
  const program = start()
  try {
    void program.ended().then(() => asking.child.kill('SIGKILL'))
    const { stdout } = await asking.catch((cause: unknown) => failed(who, 'does not run', program, cause))
    const probed = JSON.parse(stdout) as Probed
    if (probed.never > 0) failed(who, `${probed.never} services never answered`, program)
    const since = (time: number): number => (time - began) / 1e6
    const reply = { who, last: since(probed.missing), all: since(probed.all), cpu: cpuOf(program.pid) }
    if (isLast) await delay(SETTLE_MS)
    return { ...reply, steps: stepsOf(program, beganAt), rssMb: isLast ? rssOf(program.pid) : undefined }
  } finally {
    await program.kill()
  }
}

function failed(who: Starter, why: string, program: Program, cause?: unknown): never {
  throw new Error(`${who}: ${why}: ${program.lastWords()}`, { cause })
}

/** After the name in parentheses, fields of a process's stat begin with the third. */
function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = fields.slice(11, 15).reduce((sum, value) => sum + Number(value), 0)
  return (ticks * 1000) / TICKS_A_SECOND
}

function rssOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

function stepsOf(program: Program, beganAt: number): Record<string, number> {
  const said = program.log()
  return Object.fromEntries(
    Object.entries(STEPS).flatMap(([step, message]) => {
      const line = said.split('\n').find((each) => each.includes(`"msg":"${message}"`))
      const time = /"time":"([^"]+)"/.exec(line ?? '')?.[1]
      return time === undefined ? [] : [[step, Date.parse(time) - beganAt]]
    }),
  )
}
