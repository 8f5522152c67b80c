/**
 * Runs alone in a mount namespace of its own, as lanes-child.ts does. Starts agents on nodes that know nothing and asks all
 * services until each has answered; prints one JSON line for each start.
 */
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
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
  readonly rssMb: number
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

const request = JSON.parse(process.argv[2] ?? '') as StartRequest
const { cgroups, directory } = request
const services = Array.from({ length: request.services }, (_, n) => filler(n, request.backends))
const modes = [...new Set(request.starts)].filter((who) => who !== 'weft')
const lanes = wire(['weft', ...modes])
// Every backend's address is this one namespace, so that each service has ten of its own and all answer.
configure('backend', ['route add local 10.128.0.0/14 dev lo'])

const kube = `${directory}/kube`
const api = modes.length > 0 ? await KubeApi.start(kube) : undefined
const proxies = api && new KubeProxies(kube)
const kubeconfigs: Partial<Record<Starter, string>> = {}
if (api) for (const mode of modes) kubeconfigs[mode] = await api.addNode(laneOf(mode))
await api?.create(services)
writeManifests(services)

for (const [n, who] of request.starts.entries()) {
  const reply = who === 'weft' ? await startWeft(n) : await startProxy(who)
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

async function startWeft(n: number): Promise<StartReply> {
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
  const command = [process.execPath, path.join(BUILD, 'js/agent/main.js'), 'agent', ...argv] as const
  const lane = laneOf('weft')
  try {
    return await timed('weft', () => new Program(lane.netns, [...command], path.join(state, 'log')), cgroups.weft)
  } finally {
    // The pins go, and with them what is attached.
    execFileSync('umount', [bpffs])
  }
}

async function startProxy(mode: KubeMode): Promise<StartReply> {
  const lane = laneOf(mode)
  try {
    return await timed(mode, () => proxies!.start(lane, mode, kubeconfigs[mode]!), cgroups.plain)
  } finally {
    for (const table of ['nat', 'filter', 'mangle']) {
      for (const what of ['-F', '-X']) inNetns(lane.name, 'xtables-legacy-multi', 'iptables', '-t', table, what)
    }
    inNetns(lane.name, 'nft', 'flush', 'ruleset')
  }
}

async function timed(who: Starter, start: () => Program, cgroup: string): Promise<StartReply> {
  const { tcp } = SERVICE
  const to = [services[0]!.clusterIP, services.length, tcp.port, LIMIT_S]
  const args = [BACKEND_NETNS, tcp.target, laneOf(who).netns, cgroup, ...to].map(String)
  const asking = promisify(execFile)('setpriv', ['--pdeathsig', 'KILL', built('probe'), ...args], { encoding: 'utf8' })
  const began = Number(process.hrtime.bigint())
  const program = start()
  try {
    const probed = JSON.parse((await asking).stdout) as Probed
    if (probed.never > 0) throw new Error(`${who}: ${probed.never} services never answered: ${program.lastWords()}`)
    const since = (time: number): number => (time - began) / 1e6
    return { who, last: since(probed.missing), all: since(probed.all), ...used(program.pid) }
  } finally {
    await program.kill()
  }
}

/** What a process has used. After its name in parentheses, fields of its stat begin with the third. */
function used(pid: number): { cpu: number; rssMb: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const ticks = fields.slice(11, 15).reduce((sum, value) => sum + value, 0)
  const rss = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return { cpu: (ticks * 1000) / TICKS_A_SECOND, rssMb: Number(rss?.[1]) / 1024 }
}
