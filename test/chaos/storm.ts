import { setMaxListeners } from 'node:events'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ApiClient } from '../../agent/api/client.ts'
import { describeError } from '../../agent/lib/errors.ts'
import { eventually } from '../eventually.ts'
import type { Lab } from '../lab/cli.ts'
import { agentSocket } from '../lab/daemons.ts'
import { topologyOf } from '../lab/shape.ts'
import { put } from '../lab/store.ts'
import type { NodeSpec, Topology } from '../lab/topology.ts'
import { Clocks } from './clocks.ts'
import { differences, readMaps } from './compare.ts'
import { Faults } from './faults.ts'
import { judge, type Verdict } from './judge.ts'
import { monotonic } from './monotonic.ts'
import { Network } from './network.ts'
import {
  backendsOf,
  clientRoutes,
  podRoutes,
  probedManifest,
  probedServices,
  type ProbedService,
  type Route,
} from './probed.ts'
import { Requests, type Answer } from './requests.ts'
import { describeFault, scheduleOf, type Fault } from './schedule.ts'
import { truthOf } from './truth.ts'
import { Writers } from './writers.ts'

const CLUSTERS = 3
const UNREACHABLE_AFTER_MS = 3000
/** From when a fault is in place, requests may be lost for this long. */
const GRACE_MS = UNREACHABLE_AFTER_MS + 1000
const SETTINGS = [`unreachableAfter=${UNREACHABLE_AFTER_MS / 1000}s`, 'probes.intervalMs=500', 'probes.timeoutMs=400']
/** Everything is in step this long after the last fault. */
const SETTLE_MS = 60_000

export interface StormOptions {
  /** One that is not up; it is up when the storm is over, and for the caller to take down. */
  readonly lab: Lab
  readonly seed: number
  readonly ms: number
  readonly say: (text: string) => void
}

export interface Lost {
  /** Milliseconds from the start of the storm. */
  readonly at: number
  readonly answer: Answer
}

export interface StormResult {
  readonly schedule: readonly Fault[]
  /** Changed keys. */
  readonly writes: number
  /** How many requests ended how. */
  readonly verdicts: Readonly<Partial<Record<Verdict, number>>>
  readonly lost: readonly Lost[]
  readonly differences: readonly string[]
  /** How long after the last fault the maps were as they should be. */
  readonly settledMs: number
}

/**
 * Three clusters of the lab, with everything real: agents, kernel maps, exporters, etcds. Writers change objects, faults come
 * by a schedule, clients ask services all the time; then all is lifted, and every node's maps are compared with what the objects
 * say.
 */
export async function storm({ lab, seed, ms, say }: StormOptions): Promise<StormResult> {
  const settings = SETTINGS.flatMap((setting) => ['--set', setting])
  await lab.run(['up', '--clusters', String(CLUSTERS), '--scenario', 'none', '--no-agents', ...settings])
  const topology = topologyOf(lab.paths)
  const { clusters } = topology
  const nodes = clusters.flatMap((cluster) => cluster.nodes)
  const schedule = scheduleOf(seed, ms, { clusters: clusters.map(nameOf), nodes: nodes.map(nameOf) })
  const network = new Network(lab.paths, topology)
  await network.prepare()
  const faults = new Faults(lab.paths, topology, network, new Clocks(path.join(lab.paths.state, 'clocks')))
  const writers = new Writers(lab.paths, clusters, seed)
  const probed = probedServices(clusters)

  writers.writeAll()
  for (const cluster of clusters) put(lab.paths, cluster, 'probed.yaml', probedManifest(cluster, probed))
  for (const cluster of clusters) faults.startExporter(cluster)
  for (const node of nodes) faults.startAgent(node)
  const compare = async (): Promise<string[]> => {
    const each = nodes.map(async (node) => {
      const truth = truthOf(node, clusters, writers.states, probed)
      return differences(node, clusters, truth, await readMaps(lab.paths, node))
    })
    return (await Promise.all(each)).flat()
  }
  const settle = async (): Promise<string[]> => {
    const deadline = monotonic() + SETTLE_MS
    const unwell = (await Promise.all(nodes.map((node) => isWell(lab, node, SETTLE_MS)))).flat()
    for (;;) {
      const found = [...unwell, ...(await compare())]
      if (found.length === 0 || monotonic() > deadline) return found
      await delay(500)
    }
  }
  const before = await settle()
  if (before.length > 0)
    throw new Error(`the clusters are not in step before the storm: ${before.slice(0, 10).join('; ')}`)
  say(`${nodes.length} nodes are in step; the storm begins`)

  const requests = new Requests(lab.paths)
  const routes = startRequests(requests, topology, probed)
  const start = monotonic()
  const over = new AbortController()
  setMaxListeners(0, over.signal)
  const writing = writers.run(over.signal)
  try {
    await Promise.all([
      delay(ms, undefined, { signal: over.signal }),
      ...schedule.map(async (fault) => {
        await delay(fault.at, undefined, { signal: over.signal })
        say(describeFault(fault))
        await faults.inflict(fault)
      }),
    ])
  } finally {
    over.abort()
    await writing
  }

  const lifted = monotonic()
  const left = await settle()
  const settledMs = monotonic() - lifted
  await requests.stop()
  const { answers } = requests
  const routeOf = new Map(routes.map((route) => [route.name, route]))
  const verdicts: Partial<Record<Verdict, number>> = {}
  const lost: Lost[] = []
  for (const answer of answers) {
    const route = routeOf.get(answer.route)
    if (route === undefined) throw new TypeError(`nobody asked ${answer.route}`)
    const verdict = judge(answer, route, backendsOf(clusters, route.service), faults.events, GRACE_MS)
    verdicts[verdict] = (verdicts[verdict] ?? 0) + 1
    if (verdict === 'lost') lost.push({ at: answer.start - start, answer })
  }
  return { schedule, writes: writers.writes, verdicts, lost, settledMs, differences: left }
}

/** Empty once a node's agent says that nothing is wrong and nothing is left to do; what it said last otherwise. */
async function isWell(lab: Lab, node: NodeSpec, timeoutMs: number): Promise<string[]> {
  const client = new ApiClient(agentSocket(lab.paths, node.name))
  const what = `${node.name}: its agent says that it is well`
  const look = async (): Promise<void> => {
    const { ok, problems, waitingFor } = await client.status()
    if (!ok) throw new Error([...problems.map(({ message }) => message), ...waitingFor].slice(0, 5).join('; '))
  }
  return eventually(look, { what, timeoutMs, everyMs: 500 }).then(
    () => [],
    (error: unknown) => [describeError(error)],
  )
}

const nameOf = ({ name }: { readonly name: string }): string => name

/** A prober in a pod of each cluster, and one on the client outside. */
function startRequests(requests: Requests, { clusters, client }: Topology, probed: readonly ProbedService[]): Route[] {
  const all = clusters.map((cluster) => {
    const pod = cluster.pods.find(({ serves }) => !serves)
    if (pod === undefined) throw new TypeError(`${cluster.name} has no pod to ask from`)
    const routes = podRoutes(cluster, pod.node, probed)
    requests.start(pod, routes)
    return routes
  })
  const outside = clientRoutes(clusters, probed)
  requests.start(client, outside)
  return [...all.flat(), ...outside]
}
