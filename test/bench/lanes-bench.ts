import { fileURLToPath } from 'node:url'
import type { Cgroup, Connects, Flood, LanesReply, LanesRequest, Way } from './lanes-child.ts'
import type { Result } from './report.ts'
import { median, ratio } from './measure.ts'
import { fromEnvironment } from './place.ts'
import { ns, result, us } from './report.ts'
import { inSandbox } from './sandbox.ts'

const SERVICES = [10, 10_000] as const
const GOAL = 1.1
/** How many times as long a connection may take for a rate of 0.95. */
const RATE_GOAL = 1 / 0.95
const FLOWS = [1, 16_000] as const
const TIMEOUT_MS = 900_000

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
const FLOOD: Readonly<Record<string, { at: string; what: string; goals: Readonly<Record<number, number>> }>> = {
  weft: { at: 'tc', what: 'CPU for a forwarded datagram, SNAT, tc', goals: { 1: 1.25, 16_000: 1.45 } },
  xdp: { at: 'xdp', what: 'CPU for a forwarded datagram, SNAT, XDP', goals: { 1: 0.7, 16_000: 0.9 } },
}

export const LANES_IDS = [...Object.keys(CONNECT), 'E2', ...Object.keys(RATE)]

/** Connections and datagrams over nodes with weft beside nodes without it, between network namespaces. */
export async function benchLanes(ids: ReadonlySet<string>): Promise<Result[]> {
  const ways = (all: Readonly<Record<string, { way: Way }>>): Way[] =>
    Object.entries(all).flatMap(([id, { way }]) => (ids.has(id) ? [way] : []))
  const [connect, rate] = [ways(CONNECT), ways(RATE)]
  const all = fromEnvironment('BENCH_CONNECTIONS', 1_000_000)
  const request: Omit<LanesRequest, 'directory' | 'cgroups'> = {
    services: connect.length > 0 ? SERVICES : [SERVICES[0]],
    connect,
    rate,
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
  return replies.flatMap(resultsOf).sort((a, b) => order(a.id) - order(b.id))
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
      return Object.entries(FLOOD).map(([lane, each]) => floodResult(reply, lane, each))
  }
}

function idOf(all: Readonly<Record<string, Described & { way: Way }>>, way: Way): [string, Described] {
  return Object.entries(all).find(([, each]) => each.way === way)!
}

function connectResult({ services, way, lanes, programs }: LanesReply & { kind: 'connect' }): Result {
  const [id, { what, against }] = idOf(CONNECT, way)
  const [plain, weft] = sides<Connects>(lanes)
  return result({
    id: `${id}@${services}`,
    what: `${what}, ${services} services`,
    measured: ratio(weft.p50, plain.p50),
    goal: GOAL,
    against: `${against} ${us(median(plain.p50))}, p99 ${us(plain.p99)}`,
    detail: `p50 ${us(median(weft.p50))}, p99 ${us(weft.p99)}`,
    profile: `programs per connection, its end included: ${programs}`,
  })
}

function rateResults({ way, lanes, refused, asked }: LanesReply & { kind: 'rate' }): Result[] {
  const [id, { what, against }] = idOf(RATE, way)
  const [plain, weft] = sides<Connects>(lanes)
  const perSecond = ({ whole }: Connects): string => `${(1e6 / median(whole)).toFixed(1)} k/s`
  return [
    result({
      id,
      what,
      measured: ratio(weft.whole, plain.whole),
      goal: RATE_GOAL,
      against: `${against} ${perSecond(plain)}`,
      detail: perSecond(weft),
    }),
    result({
      id: `${id}@refused`,
      what: `of ${asked} connections, refused or not answered`,
      measured: refused,
      goal: 0,
      unit: 'refused',
      against: 'none',
      detail: '',
    }),
  ]
}

function floodResult(
  { flows, lanes, programs }: LanesReply & { kind: 'flood' },
  lane: string,
  { at, what, goals }: (typeof FLOOD)[string],
): Result {
  const [plain, ours] = sides<Flood>(lanes, lane)
  const lost = ours.sent - ours.received
  return result({
    id: `E2@${at}-${flows}`,
    what: `${what}, ${flows} ${flows === 1 ? 'flow' : 'flows'}`,
    measured: ratio(ours.ns, plain.ns),
    goal: goals[flows]!,
    against: `fwd ${ns(median(plain.ns))}`,
    detail: `${ns(median(ours.ns))}, sending and receiving included${lost > 0 ? `; ${lost} of ${ours.sent} lost` : ''}`,
    profile: lane === 'weft' ? `programs per datagram: ${programs}` : '',
  })
}

function sides<T>(lanes: Readonly<Record<string, T>>, ours = 'weft'): [plain: T, ours: T] {
  return [lanes['plain']!, lanes[ours]!]
}
