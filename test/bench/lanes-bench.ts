import { fileURLToPath } from 'node:url'
import type { KubeMode } from './kube-peer.ts'
import type { Cgroup, Connects, Flood, LanesReply, LanesRequest, Source, Way } from './lanes-child.ts'
import type { Result } from './report.ts'
import { median, ratio } from './measure.ts'
import { missingPeer } from './peers.ts'
import { fromEnvironment } from './place.ts'
import { ns, result, us } from './report.ts'
import { inSandbox } from './sandbox.ts'

const FEW = 10
const MANY = 10_000
/** kube-proxy needs minutes beyond. */
const PEER_SERVICES = [FEW, 1000, 5000] as const
const MODES: readonly KubeMode[] = ['iptables', 'nftables']
const GOAL = 1.1
/** What many services may add to what few cost: both rates vary by a few per cent from run to run. */
const GROWTH_GOAL = 1.05
/** How many times as long a connection may take for a rate of 0.95. */
const RATE_GOAL = 1 / 0.95
const FLOWS = [1, 16_000] as const
const TIMEOUT_MS = 1_800_000

interface Described {
  readonly what: string
  readonly against: string
}

const CONNECT: Readonly<Record<string, Described & { way: Way }>> = {
  E1: { way: 'socket', what: 'TCP connect, ClusterIP by socket', against: 'direct' },
  E1n: { way: 'nodeport', what: 'TCP connect, NodePort to a remote backend, SNAT', against: 'fwd' },
}
const RATE: Readonly<Record<string, Described & { way: Way }>> = {
  E3: { way: 'socket', what: 'connection from socket to reset, ClusterIP by socket', against: 'direct' },
  E3n: { way: 'nodeport', what: 'connection from socket to reset, NodePort, SNAT', against: 'fwd' },
}
interface FloodOf {
  readonly id: string
  readonly of: Source
  readonly lane: string
  readonly what: string
  readonly goals: Readonly<Record<number, number>>
}

const TC_GOALS = { 1: 1.25, 16_000: 1.45 }
/** XDP's goals are for frames from a driver: what a socket sends is a packet of the kernel's before XDP can spare it one. */
const FLOOD: readonly FloodOf[] = [
  { id: 'tc', of: 'sockets', lane: 'weft', what: 'datagram, SNAT, tc', goals: TC_GOALS },
  { id: 'xdp', of: 'sockets', lane: 'xdp', what: 'datagram, SNAT, XDP', goals: {} },
  { id: 'frame-tc', of: 'frames', lane: 'weft', what: "driver's frame, SNAT, tc", goals: TC_GOALS },
  { id: 'frame-xdp', of: 'frames', lane: 'xdp', what: "driver's frame, SNAT, XDP", goals: { 1: 0.7, 16_000: 0.9 } },
]

export const LANES_IDS = [...Object.keys(CONNECT), 'E2', ...Object.keys(RATE)]

/** Connections and datagrams over nodes with weft beside nodes without it, between network namespaces. */
export async function benchLanes(ids: ReadonlySet<string>): Promise<Result[]> {
  const ways = (all: Readonly<Record<string, { way: Way }>>): Way[] =>
    Object.entries(all).flatMap(([id, { way }]) => (ids.has(id) ? [way] : []))
  const all = fromEnvironment('BENCH_CONNECTIONS', 1_000_000)
  const without = missingPeer()
  if (without !== undefined) process.stderr.write(`E1, E2 and E3 without kube-proxy beside them: ${without}\n`)
  const beside = without === undefined ? peerServices() : [FEW]
  const loads = [...new Set([beside[0]!, beside.at(-1)!])]
  const connect = ways(CONNECT)
  const request: Omit<LanesRequest, 'directory' | 'cgroups'> = {
    services: connect.length > 0 ? [...new Set([...beside, MANY])] : loads,
    peers: { modes: without === undefined ? MODES : [], services: beside.at(-1)! },
    connect,
    rate: ways(RATE),
    loads,
    connections: { compared: Math.min(all, 50_000), all },
    floods: ids.has('E2') ? FLOWS : [],
    datagrams: fromEnvironment('BENCH_DATAGRAMS', 64_000),
  }
  const child = fileURLToPath(new URL(import.meta.url.replace(/lanes-bench\.([jt]s)$/, 'lanes-child.$1')))
  const cgroups: Cgroup[] = ['weft', 'plain', 'xdp']
  const replies = await inSandbox<LanesReply, Cgroup>(
    child,
    cgroups,
    (places) => ({ ...places, ...request }),
    TIMEOUT_MS,
  )
  const results = [...replies.flatMap(resultsOf), ...connect.map((way) => growth(replies, way))]
  return results.sort((a, b) => order(a.id) - order(b.id))
}

/** A loaded machine may want fewer: kube-proxy takes half a minute for 5 000 in its nftables mode. */
function peerServices(): number[] {
  const most = fromEnvironment('BENCH_PEER_SERVICES', PEER_SERVICES.at(-1)!)
  return PEER_SERVICES.filter((count) => count === FEW || count <= most)
}

function order(id: string): number {
  return LANES_IDS.indexOf(id.split('@')[0]!)
}

function resultsOf(reply: LanesReply): Result[] {
  switch (reply.kind) {
    case 'connect':
      return [connectResult(reply)]
    case 'rate':
      return rateResults(reply)
    case 'flood':
      return FLOOD.filter(({ of }) => of === reply.of).map((each) => floodResult(reply, each))
  }
}

function idOf(all: Readonly<Record<string, Described & { way: Way }>>, way: Way): [string, Described] {
  return Object.entries(all).find(([, each]) => each.way === way)!
}

function connectResult({ services, way, isWorn, lanes, programs }: LanesReply & { kind: 'connect' }): Result {
  const [id, { what, against }] = idOf(CONNECT, way)
  const [plain, weft] = sides<Connects>(lanes)
  const beside = peers(lanes, ({ p50 }) => p50, us)
  return result({
    id: `${id}@${services}${isWorn ? '-worn' : ''}`,
    what: `${what}, ${services} services${isWorn ? ', flow table used before' : ''}`,
    measured: ratio(weft.p50, plain.p50),
    goal: GOAL,
    against: `${against} ${us(median(plain.p50))}, p99 ${us(plain.p99)}`,
    detail: `p50 ${us(median(weft.p50))}, p99 ${us(weft.p99)}${beside}`,
    profile: `programs per connection, its end included: ${programs}`,
  })
}

/** The same with many services as with few; kube-proxy's is from its own fewest to its own most. */
function growth(replies: readonly LanesReply[], way: Way): Result {
  const [id, { what }] = idOf(CONNECT, way)
  const found = replies.flatMap((reply) =>
    reply.kind === 'connect' && reply.way === way && !reply.isWorn ? [reply] : [],
  )
  const cost = (lane: string): { services: number; ratio: number }[] =>
    found.flatMap(({ services, lanes }) => {
      const asked = lanes[lane]
      return asked === undefined ? [] : [{ services, ratio: ratio(asked.p50, lanes['plain']!.p50) }]
    })
  const grown = (lane: string): string => {
    const costs = cost(lane)
    const [few, most] = [costs[0], costs.at(-1)]
    return few && most && few !== most
      ? `${lane} ${(most.ratio / few.ratio).toFixed(2)} × from ${few.services} to ${most.services}`
      : ''
  }
  const ours = cost('weft')
  return result({
    id: `${id}@growth`,
    what: `${what}, ${MANY} services against ${FEW}`,
    measured: ours.at(-1)!.ratio / ours[0]!.ratio,
    goal: GROWTH_GOAL,
    against: `${FEW} services`,
    detail: MODES.map(grown).filter(Boolean).join('; '),
  })
}

function rateResults({ services, way, lanes, refused, asked }: LanesReply & { kind: 'rate' }): Result[] {
  const [id, { what, against }] = idOf(RATE, way)
  const [plain, weft] = sides<Connects>(lanes)
  const rate = (time: number): string => `${(1e6 / time).toFixed(1)} k/s`
  const perSecond = ({ whole }: Connects): string => rate(median(whole))
  return [
    result({
      id: `${id}@${services}`,
      what: `${what}, ${services} services`,
      measured: ratio(weft.whole, plain.whole),
      goal: RATE_GOAL,
      against: `${against} ${perSecond(plain)}`,
      detail: `${perSecond(weft)}${peers(lanes, ({ whole }) => whole, rate)}`,
    }),
    result({
      id: `${id}@${services}-refused`,
      what: `of ${asked} connections, refused or not answered`,
      measured: refused,
      goal: 0,
      unit: 'refused',
      against: 'none',
      detail: '',
    }),
    ...againstIptables(id, services, lanes),
  ]
}

/** Twice as many connections as kube-proxy with its most services. */
function againstIptables(id: string, services: number, lanes: Readonly<Record<string, Connects>>): Result[] {
  const { plain, weft, iptables } = lanes
  if (!plain || !weft || !iptables || services !== PEER_SERVICES.at(-1)) return []
  return [
    result({
      id: `${id}@${services}-iptables`,
      what: 'the same connection against kube-proxy with iptables',
      measured: ratio(weft.whole, iptables.whole),
      goal: 0.5,
      against: `iptables ${us(median(iptables.whole))}`,
      detail: us(median(weft.whole)),
      profile: `without any service ${us(median(plain.whole))}, which is ${ratio(plain.whole, iptables.whole).toFixed(2)} × iptables`,
    }),
  ]
}

/** kube-proxy's figures in the same run: against the lane without anything, as ours are, and by themselves. */
function peers<T>(
  lanes: Readonly<Record<string, T>>,
  of: (lane: T) => readonly number[],
  figure: (value: number) => string,
): string {
  const plain = of(lanes['plain']!)
  return MODES.flatMap((mode) => {
    const lane = lanes[mode]
    return lane === undefined ? [] : [`; ${mode} ${ratio(of(lane), plain).toFixed(2)} × (${figure(median(of(lane)))})`]
  }).join('')
}

function floodResult(
  { services, flows, lanes, programs }: LanesReply & { kind: 'flood' },
  { id, lane, what, goals }: FloodOf,
): Result {
  const [plain, ours] = sides<Flood>(lanes, lane)
  const lost = ours.sent - ours.received
  const losses = lost > 0 ? `; ${lost} of ${ours.sent} lost` : ''
  const beside = peers(lanes, (each) => each.ns, ns)
  return result({
    id: `E2@${services}-${id}-${flows}`,
    what: `CPU for a forwarded ${what}, ${flows} ${flows === 1 ? 'flow' : 'flows'}, ${services} services`,
    measured: ratio(ours.ns, plain.ns),
    goal: goals[flows] ?? Infinity,
    against: `fwd ${ns(median(plain.ns))}`,
    detail: `${ns(median(ours.ns))}, sending and receiving included${losses}${beside}`,
    profile: lane === 'weft' ? `programs per datagram: ${programs}` : '',
  })
}

function sides<T>(lanes: Readonly<Record<string, T>>, ours = 'weft'): [plain: T, ours: T] {
  return [lanes['plain']!, lanes[ours]!]
}
