import { setTimeout as delay } from 'node:timers/promises'
import { judge, type Verdict } from './judge.ts'
import { monotonic } from './monotonic.ts'
import { backendsOf, clientRoutes, podRoutes, type Route } from './probed.ts'
import { Requests, type Answer } from './requests.ts'
import { describeFault, scheduleOf, type Fault } from './schedule.ts'
import { Stage, UNREACHABLE_AFTER_MS, type StageOptions } from './stage.ts'

/** From when a cut is in place, requests may be lost for this long. */
const GRACE_MS = UNREACHABLE_AFTER_MS + 1000

export interface StormOptions extends StageOptions {
  readonly ms: number
  readonly say: (text: string) => void
}

/** A request that was not answered. */
export interface Failed {
  /** Milliseconds from the start of the storm. */
  readonly at: number
  readonly answer: Answer
  readonly verdict: Verdict
}

export interface StormResult {
  readonly kvstoremesh: boolean
  /** Milliseconds since the epoch. */
  readonly began: number
  /** In the order and at the time in which they began: a busy machine may have no time for the last ones of the schedule. */
  readonly faults: readonly Fault[]
  /** Changed keys. */
  readonly writes: number
  /** How many requests ended how. */
  readonly verdicts: Readonly<Partial<Record<Verdict, number>>>
  readonly failed: readonly Failed[]
  /** Those of them that had to succeed. */
  readonly lost: readonly Failed[]
  readonly differences: readonly string[]
  /** How long after the last fault the maps were as they should be. */
  readonly settledMs: number
}

/**
 * Three clusters of the lab, with everything real: agents, kernel maps, exporters, etcds. Writers change objects, faults come
 * by a schedule, clients ask services all the time; then all is lifted, and every node's maps are compared with what the objects
 * say.
 */
export async function storm(options: StormOptions): Promise<StormResult> {
  const { lab, seed, ms, say, kvstoremesh } = options
  const stage = await Stage.raise(options)
  const clusters = stage.topology.clusters.map(({ name }) => name)
  const schedule = scheduleOf(seed, ms, { clusters, nodes: stage.nodes.map(({ name }) => name), kvstoremesh })
  say('all nodes are in step; the storm begins')

  const requests = new Requests(lab.paths)
  const routes = startRequests(requests, stage)
  const faults: Fault[] = []
  const start = monotonic()
  const began = Date.now()
  const over = new AbortController()
  const writing = stage.writers.run(over.signal)
  try {
    await Promise.all([
      delay(ms, undefined, { signal: over.signal }),
      ...lanesOf(schedule).map(async (lane) => {
        for (const fault of lane) {
          await delay(start + fault.at - monotonic(), undefined, { signal: over.signal })
          const at = monotonic() - start
          if (at > ms) return
          faults.push({ ...fault, at })
          say(describeFault({ ...fault, at }))
          await stage.faults.inflict(fault)
        }
      }),
    ])
  } finally {
    over.abort()
    await writing
  }

  const lifted = monotonic()
  const differences = await stage.settle()
  const settledMs = monotonic() - lifted
  await requests.stop()
  const told = judgeAll(stage, routes, requests, start)
  return { kvstoremesh, began, faults, writes: stage.writers.writes, settledMs, differences, ...told }
}

function lanesOf(schedule: readonly Fault[]): Fault[][] {
  const lanes: Fault[][] = []
  for (const fault of schedule) (lanes[fault.lane] ??= []).push(fault)
  return lanes
}

function judgeAll(
  { topology, faults }: Stage,
  routes: readonly Route[],
  { answers }: Requests,
  start: number,
): Pick<StormResult, 'verdicts' | 'failed' | 'lost'> {
  const asked = new Map(
    routes.map((route) => [route.name, { route, backends: backendsOf(topology.clusters, route.service) }]),
  )
  const verdicts: Partial<Record<Verdict, number>> = {}
  const failed: Failed[] = []
  for (const answer of answers) {
    const found = asked.get(answer.route)
    if (found === undefined) throw new TypeError(`nobody asked ${answer.route}`)
    const verdict = judge(answer, found.route, found.backends, faults.events, GRACE_MS)
    verdicts[verdict] = (verdicts[verdict] ?? 0) + 1
    if (answer.outcome !== 'ok') failed.push({ at: answer.start - start, answer, verdict })
  }
  return { verdicts, failed, lost: failed.filter(({ verdict }) => verdict === 'lost') }
}

/** A prober in a pod of each cluster, and one on the client outside. */
function startRequests(requests: Requests, { topology, probed }: Stage): Route[] {
  const { clusters, client } = topology
  const inside = clusters.flatMap((cluster) => {
    const pod = cluster.pods.find(({ serves }) => !serves)
    if (pod === undefined) throw new TypeError(`${cluster.name} has no pod to ask from`)
    const routes = podRoutes(cluster, pod.node, probed)
    requests.start(pod, routes)
    return routes
  })
  const outside = clientRoutes(clusters, probed)
  requests.start(client, outside)
  return [...inside, ...outside]
}
