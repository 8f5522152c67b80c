/**
 * Runs alone in a mount namespace of its own (see sandbox.ts), so that its network namespaces, bpffs and pins go with it.
 * Prints one JSON line for each measurement.
 */
import { execFileSync } from 'node:child_process'
import type { Lane } from './lanes.ts'
import { BACKEND, BACKEND_NETNS, CLIENT_NETNS, wire } from './lanes.ts'
import { built, pinned } from './place.ts'
import { SERVICE, WeftNode } from './weft-node.ts'

export interface LanesRequest {
  /** Scratch directory; empty. */
  readonly directory: string
  /** cgroup2 directories: with our socket programs, without, and one for the node with XDP. */
  readonly cgroups: Readonly<Record<Cgroup, string>>
  readonly services: readonly number[]
  readonly connect: readonly Way[]
  readonly rate: readonly Way[]
  /** Connections for the rate, on each lane in turn; and then on ours alone, until there were so many in all. */
  readonly connections: { readonly compared: number; readonly all: number }
  /** Numbers of flows. */
  readonly floods: readonly number[]
  readonly datagrams: number
}

export type Cgroup = 'weft' | 'plain' | 'xdp'
export type Way = 'socket' | 'nodeport'

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
  | { kind: 'connect'; services: number; way: Way; lanes: Record<string, Connects>; programs: string }
  | { kind: 'rate'; services: number; way: Way; lanes: Record<string, Connects>; refused: number; asked: number }
  | { kind: 'flood'; flows: number; lanes: Record<string, Flood>; programs: string }

const CONNECT = { rounds: 60, batch: 60 } as const
const RATE_BATCH = 1000
const FLOOD_ROUNDS = 15
const PROFILE_ROUNDS = 10

const request = JSON.parse(process.argv[2] ?? '') as LanesRequest
const { cgroups, directory } = request
const lanes = wire(['plain', 'weft', ...(request.floods.length > 0 ? ['xdp'] : [])])
const [plain, weft, xdp] = lanes as [Lane, Lane, Lane | undefined]
const node = new WeftNode(weft, { directory, cgroup: cgroups.weft, xdp: false })
const nodes = [node, ...(xdp ? [new WeftNode(xdp, { directory, cgroup: cgroups.xdp, xdp: true })] : [])]

for (const services of request.services) {
  for (const each of nodes) await each.fill(services)
  for (const way of request.connect) {
    const lanes = await connect(way, CONNECT)
    const programs = await node.profile(async () => {
      await connect(way, { ...CONNECT, rounds: PROFILE_ROUNDS })
      return (PROFILE_ROUNDS + 1) * CONNECT.batch
    })
    say({ kind: 'connect', services, way, lanes, programs })
  }
  for (const way of request.rate) await rate(way, services)
}
for (const flows of request.floods) {
  const lanes = await flood(flows, FLOOD_ROUNDS, request.datagrams)
  const programs = await node.profile(async () => {
    await flood(flows, 2, request.datagrams)
    return 2 * request.datagrams + Math.max(flows, 1000)
  })
  say({ kind: 'flood', flows, lanes, programs })
}
for (const each of nodes) each.close()

function say(reply: LanesReply): void {
  process.stdout.write(`${JSON.stringify(reply)}\n`)
}

/** Where connections begin, and what they ask for: of the lane without us, the backend itself. */
function sides(way: Way): Record<string, readonly (string | number)[]> {
  const { tcp, clusterIP } = SERVICE
  if (way === 'socket') {
    return {
      plain: [plain.netns, cgroups.plain, BACKEND, tcp.target],
      weft: [weft.netns, cgroups.weft, clusterIP, tcp.port],
    }
  }
  return {
    plain: [CLIENT_NETNS, cgroups.plain, BACKEND, tcp.target],
    weft: [CLIENT_NETNS, cgroups.plain, weft.front, tcp.nodePort],
  }
}

interface Load {
  readonly rounds: number
  readonly batch: number
  readonly only?: string
}

function connectNow(way: Way, { rounds, batch, only }: Load): Record<string, Connects> {
  const chosen = Object.entries(sides(way)).filter(([name]) => only === undefined || name === only)
  const args = [rounds, batch, BACKEND_NETNS, BACKEND, SERVICE.tcp.target, ...chosen.flatMap(([, side]) => side)]
  const answer = execFileSync(built('connect'), args.map(String), { encoding: 'utf8', maxBuffer: 1 << 28 })
  return named(
    chosen.map(([name]) => name),
    JSON.parse(answer) as Connects[],
  )
}

/** On one CPU: packets between namespaces are then handled inside the call, and nothing waits for a wake-up elsewhere. */
function connect(way: Way, load: Load): Promise<Record<string, Connects>> {
  return pinned(async () => connectNow(way, load))
}

async function rate(way: Way, services: number): Promise<void> {
  const { compared, all } = request.connections
  const lanes = await connect(way, { rounds: Math.max(1, Math.round(compared / RATE_BATCH)), batch: RATE_BATCH })
  // Beyond what is compared only refusals count, and others may have the CPU.
  const rest = Math.ceil((all - lanes['weft']!.asked) / RATE_BATCH)
  const more = rest > 0 ? connectNow(way, { rounds: rest, batch: RATE_BATCH, only: 'weft' })['weft'] : undefined
  say({
    kind: 'rate',
    services,
    way,
    lanes,
    refused: lanes['weft']!.refused + (more?.refused ?? 0),
    asked: lanes['weft']!.asked + (more?.asked ?? 0),
  })
}

function flood(flows: number, rounds: number, count: number): Promise<Record<string, Flood>> {
  const { udp } = SERVICE
  const args = lanes.flatMap((lane) => {
    const to = lane === plain ? [BACKEND, udp.target] : [lane.front, udp.nodePort]
    return [CLIENT_NETNS, lane.client, ...to, lane.name]
  })
  const all = [rounds, count, flows, BACKEND_NETNS, BACKEND, udp.target, ...args].map(String)
  return pinned(async () => {
    const answer = execFileSync(built('flood'), all, { encoding: 'utf8' })
    return named(
      lanes.map(({ name }) => name),
      JSON.parse(answer) as Flood[],
    )
  })
}

function named<T>(names: readonly string[], values: readonly T[]): Record<string, T> {
  return Object.fromEntries(names.map((name, i) => [name, values[i]!]))
}
