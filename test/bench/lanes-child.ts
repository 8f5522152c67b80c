/**
 * Runs alone in a mount namespace of its own (see sandbox.ts), so that its network namespaces, bpffs and pins go with it.
 * Prints one JSON line for each measurement.
 */
import { execFileSync } from 'node:child_process'
import type { KubeMode } from './kube-peer.ts'
import type { Lane } from './lanes.ts'
import { frames } from './frames.ts'
import { KubePeers } from './kube-peer.ts'
import { BACKEND, BACKEND_NETNS, CLIENT_NETNS, wire } from './lanes.ts'
import { built, pinned } from './place.ts'
import { COPIES, SERVICE, WeftNode } from './weft-node.ts'

export interface LanesRequest {
  /** Scratch directory; empty. */
  readonly directory: string
  /** cgroup2 directories: with our socket programs, without, and one for the node with XDP. */
  readonly cgroups: Readonly<Record<Cgroup, string>>
  readonly services: readonly number[]
  /** kube-proxies that stand beside, up to so many services. */
  readonly peers: { readonly modes: readonly KubeMode[]; readonly services: number }
  readonly connect: readonly Way[]
  readonly rate: readonly Way[]
  /** With how many services rates are taken and datagrams sent. */
  readonly loads: readonly number[]
  /** Connections for the rate, on each lane in turn; at last on ours alone, until there were so many in all. */
  readonly connections: { readonly compared: number; readonly all: number }
  /** Numbers of flows. */
  readonly floods: readonly number[]
  readonly datagrams: number
}

export type Cgroup = 'weft' | 'plain' | 'xdp'
export type Way = 'socket' | 'nodeport'
/** Who hands the first datagram to a node: a socket's call, or a device's driver. */
export type Source = 'sockets' | 'frames'

/** One lane's connections; times in ns. */
export interface Connects {
  readonly p50: readonly number[]
  readonly whole: readonly number[]
  readonly p99: number
  readonly refused: number
  readonly asked: number
}

export interface Flood {
  readonly ns: readonly number[]
  readonly sent: number
  readonly received: number
}

export type LanesReply =
  | {
      kind: 'connect'
      services: number
      way: Way
      /** The flow table is as rates and datagrams have left it. */
      isWorn: boolean
      lanes: Record<string, Connects>
      programs: string
    }
  | { kind: 'rate'; services: number; way: Way; lanes: Record<string, Connects>; refused: number; asked: number }
  | { kind: 'flood'; of: Source; services: number; flows: number; lanes: Record<string, Flood>; programs: string }

const CONNECT = { rounds: 200, batch: 60 } as const
const RATE_BATCH = 1000
const FLOOD_ROUNDS = 21
const PROFILE_ROUNDS = 10

const request = JSON.parse(process.argv[2] ?? '') as LanesRequest
const { cgroups, directory, peers } = request
const isFlooded = request.floods.length > 0
const lanes = wire(['plain', 'weft', ...(isFlooded ? ['xdp'] : []), ...peers.modes])
const [plain, weft] = lanes as [Lane, Lane]
const proxied = peers.modes.map((mode) => ({ mode, lane: lanes.find(({ name }) => name === mode)! }))
const own = lanes.filter((lane) => !proxied.some((each) => each.lane === lane))
const node = await WeftNode.on(weft, { directory, cgroup: cgroups.weft, xdp: false })
const xdp = own.filter(({ name }) => name === 'xdp')
const nodes = [node]
for (const lane of xdp) nodes.push(await WeftNode.on(lane, { directory, cgroup: cgroups.xdp, xdp: true }))
const kube = proxied.length > 0 ? await KubePeers.start(proxied, `${directory}/kube`) : undefined

for (const services of request.services) {
  for (const each of nodes) await each.fill(services)
  const isBeside = services <= peers.services
  if (isBeside) await kube?.fill(services, answers)
  const beside = isBeside ? lanes : own
  // What came before, at fewer services, is still in the flow table.
  if (services === request.services.at(-1) && request.rate.includes('nodeport')) {
    for (const way of request.connect) if (way === 'nodeport') await opened(way, services, true, beside)
  }
  for (const way of request.connect) {
    for (const each of nodes) each.forget()
    await opened(way, services, false, beside)
  }
  if (!request.loads.includes(services)) continue
  for (const way of request.rate) await rate(way, services, beside)
  for (const flows of request.floods) {
    for (const of of ['sockets', 'frames'] as const) {
      const found = await flood(of, flows, FLOOD_ROUNDS, beside)
      const programs = await node.profile(async () => {
        await flood(of, flows, 2, own)
        return 2 * request.datagrams + Math.max(flows, 1000)
      })
      say({ kind: 'flood', of, services, flows, lanes: found, programs })
    }
  }
}
for (const each of nodes) each.close()
await kube?.close()

async function opened(way: Way, services: number, isWorn: boolean, chosen: readonly Lane[]): Promise<void> {
  const found = await connect(way, CONNECT, chosen)
  const programs = await node.profile(async () => {
    await connect(way, { ...CONNECT, rounds: PROFILE_ROUNDS }, own)
    return (PROFILE_ROUNDS + 1) * CONNECT.batch
  })
  say({ kind: 'connect', services, way, isWorn, lanes: found, programs })
}

function say(reply: LanesReply): void {
  process.stdout.write(`${JSON.stringify(reply)}\n`)
}

/** Whether a service that was just made takes connections from a node. */
function answers(lane: Lane, address: string): boolean {
  const from = [lane.netns, cgroups.plain, address, SERVICE.tcp.port]
  const args = [1, 1, BACKEND_NETNS, BACKEND, SERVICE.tcp.target, ...from].map(String)
  const [connects] = JSON.parse(execFileSync(built('connect'), args, { encoding: 'utf8' })) as [Connects]
  return connects.refused === 0
}

/** Where connections begin, and what they ask for: of the lane without us, the backend itself. */
function side(way: Way, lane: Lane): (string | number)[] {
  const { tcp, clusterIP } = SERVICE
  const from = way === 'socket' ? lane.netns : CLIENT_NETNS
  const cgroup = way === 'socket' && lane === weft ? cgroups.weft : cgroups.plain
  if (lane === plain) return [from, cgroup, BACKEND, tcp.target]
  const several = (first: string | number): string => `${first}+${COPIES}`
  return [from, cgroup, ...(way === 'socket' ? [several(clusterIP), tcp.port] : [lane.front, several(tcp.nodePort)])]
}

interface Load {
  readonly rounds: number
  readonly batch: number
}

function connectNow(way: Way, { rounds, batch }: Load, chosen: readonly Lane[]): Record<string, Connects> {
  // Without datagrams to forward, XDP has nothing of its own to show.
  const shown = chosen.filter(({ name }) => name !== 'xdp')
  const sides = shown.flatMap((lane) => side(way, lane))
  const args = [rounds, batch, BACKEND_NETNS, BACKEND, SERVICE.tcp.target, ...sides]
  const answer = execFileSync(built('connect'), args.map(String), { encoding: 'utf8', maxBuffer: 1 << 28 })
  return named(shown, JSON.parse(answer) as Connects[])
}

/** On one CPU: packets between namespaces are then handled inside the call, and nothing waits for a wake-up elsewhere. */
function connect(way: Way, load: Load, chosen: readonly Lane[]): Promise<Record<string, Connects>> {
  return pinned(async () => connectNow(way, load, chosen))
}

async function rate(way: Way, services: number, chosen: readonly Lane[]): Promise<void> {
  const { compared, all } = request.connections
  const rounds = Math.max(1, Math.round(compared / RATE_BATCH))
  const found = await connect(way, { rounds, batch: RATE_BATCH }, chosen)
  let { refused, asked } = found['weft']!
  // Beyond what is compared only refusals count, and others may have the CPU.
  const rest = services === request.loads.at(-1) ? Math.ceil((all - asked) / RATE_BATCH) : 0
  if (rest > 0) {
    const more = connectNow(way, { rounds: rest, batch: RATE_BATCH }, [weft])['weft']!
    refused += more.refused
    asked += more.asked
  }
  say({ kind: 'rate', services, way, lanes: found, refused, asked })
}

/** Every flow is known before the first round, as are neighbours and routes. */
async function flood(
  of: Source,
  flows: number,
  rounds: number,
  chosen: readonly Lane[],
): Promise<Record<string, Flood>> {
  const { udp } = SERVICE
  const load = { rounds, count: request.datagrams, flows, to: { address: BACKEND, port: udp.target } }
  const targets = chosen.map((lane) =>
    lane === plain ? { lane, ...load.to } : { lane, address: lane.front, port: udp.nodePort },
  )
  if (of === 'frames') return named(chosen, await frames(load, targets))
  const args = targets.flatMap(({ lane, address, port }) => [CLIENT_NETNS, lane.client, address, port, lane.name])
  const all = [rounds, request.datagrams, flows, BACKEND_NETNS, BACKEND, udp.target, ...args].map(String)
  return pinned(async () =>
    named(chosen, JSON.parse(execFileSync(built('flood'), all, { encoding: 'utf8' })) as Flood[]),
  )
}

function named<T>(of: readonly Lane[], values: readonly T[]): Record<string, T> {
  return Object.fromEntries(of.map(({ name }, i) => [name, values[i]!]))
}
