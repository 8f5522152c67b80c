import { fileURLToPath } from 'node:url'
import type { Result } from './report.ts'
import type { Starter, StartReply, StartRequest } from './start-child.ts'
import { median, ratio } from './measure.ts'
import { missingPeer } from './peers.ts'
import { fromEnvironment, sessionAhead } from './place.ts'
import { result } from './report.ts'
import { inSandbox } from './sandbox.ts'

const SERVICES = 5000
const BACKENDS = 10
const TIMEOUT_MS = 1_200_000

export const START_IDS = ['C2', 'C6']

/**
 * A start on a node that knows nothing, beside kube-proxy's. kube-proxy asks an API server, weft reads the same objects from
 * a directory.
 */
export async function benchStart(ids: ReadonlySet<string>): Promise<Result[]> {
  const without = missingPeer()
  if (without !== undefined) process.stderr.write(`C2 and C6 without kube-proxy beside them: ${without}\n`)
  const services = fromEnvironment('BENCH_PEER_SERVICES', SERVICES)
  const rounds = fromEnvironment('BENCH_STARTS', 5)
  const turns: Starter[] = without === undefined ? ['weft', 'iptables'] : ['weft']
  const starts = Array.from({ length: rounds }, (_, n) => (n % 2 === 0 ? turns : turns.toReversed())).flat()
  // Ten times as slow as the others: once shows it.
  if (without === undefined) starts.push('nftables')
  const child = fileURLToPath(new URL(import.meta.url.replace(/start-bench\.([jt]s)$/, 'start-child.$1')))
  const request: Omit<StartRequest, 'directory' | 'cgroups'> = { services, backends: BACKENDS, starts }
  const cgroups = ['weft', 'plain'] as const
  const replies = await sessionAhead(() =>
    inSandbox<StartReply, 'weft' | 'plain'>(child, cgroups, (places) => ({ ...places, ...request }), TIMEOUT_MS),
  )
  const of = (who: Starter, what: 'last' | 'all' | 'cpu' | 'rssMb'): number[] =>
    replies.flatMap((reply) => (reply.who === who ? [reply[what] ?? []].flat() : []))
  const figures = (who: Starter): string => {
    const seconds = (what: 'last' | 'all' | 'cpu'): string => (median(of(who, what)) / 1000).toFixed(1)
    return `${seconds('last')} s (all asked after ${seconds('all')} s, CPU ${seconds('cpu')} s)`
  }
  const memory = (who: Starter): string => `${who} ${median(of(who, 'rssMb')).toFixed(0)} MB`
  const what = `start, nothing pinned → ${services} services × ${BACKENDS} answer`
  const start = result({
    id: 'C2',
    what,
    measured: without === undefined ? ratio(of('weft', 'last'), of('iptables', 'last')) : NaN,
    goal: 0.4,
    against: `kube-proxy iptables ${figures('iptables')}`,
    detail: `${figures('weft')}, from a directory; kube-proxy nftables ${figures('nftables')}`,
    profile: `until ${steps(replies)}`,
  })
  const rss = result({
    id: 'C6',
    what: `RSS of the agent, ${services} services × ${BACKENDS}`,
    measured: median(of('weft', 'rssMb')),
    goal: 160,
    unit: 'MB',
    against: without === undefined ? [memory('iptables'), memory('nftables')].join(', ') : 'none',
    detail: 'a while after the start',
  })
  return [...(without === undefined ? [start] : []), rss].filter(({ id }) => ids.has(id))
}

/** When weft had got how far. */
function steps(replies: readonly StartReply[]): string {
  const ours = replies.filter(({ who }) => who === 'weft')
  return Object.keys(ours[0]?.steps ?? {})
    .map((step) => `${step} ${(median(ours.map((each) => each.steps[step]!)) / 1000).toFixed(2)} s`)
    .join(', ')
}
