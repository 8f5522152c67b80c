import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ApiClient } from '../../agent/api/client.ts'
import { describeError } from '../../agent/lib/errors.ts'
import { eventually } from '../eventually.ts'
import { Lab } from '../lab/cli.ts'
import { agentSocket, configureKvstoremesh } from '../lab/daemons.ts'
import { logFile } from '../lab/hosts.ts'
import { topologyOf } from '../lab/shape.ts'
import { put } from '../lab/store.ts'
import type { NodeSpec, Topology } from '../lab/topology.ts'
import { Clocks } from './clocks.ts'
import { differences, readMaps } from './compare.ts'
import { Faults } from './faults.ts'
import { monotonic } from './monotonic.ts'
import { Network } from './network.ts'
import { probedManifest, probedServices, type ProbedService } from './probed.ts'
import { truthOf } from './truth.ts'
import { Writers } from './writers.ts'

const CLUSTERS = 3
export const UNREACHABLE_AFTER_MS = 3000
/** Agents that read copies are told of a silence in time to act on it after `unreachableAfter`. */
const SILENT_AFTER_MS = 0.6 * UNREACHABLE_AFTER_MS
const SETTINGS = [`unreachableAfter=${UNREACHABLE_AFTER_MS / 1000}s`, 'probes.intervalMs=500', 'probes.timeoutMs=400']
/** Agents are in step, and say so, within this time of a quiet. */
const SETTLE_MS = 90_000

export interface StageOptions {
  /** One that is not up; it is up from then on, and for the caller to take down. */
  readonly lab: Lab
  readonly seed: number
  /** Agents read the other clusters from copies in their own etcd. */
  readonly kvstoremesh: boolean
}

/** Three clusters of the lab with nothing wrong about them yet, the writers' objects in them. */
export class Stage {
  readonly lab: Lab
  readonly topology: Topology
  readonly nodes: readonly NodeSpec[]
  readonly network: Network
  readonly faults: Faults
  readonly writers: Writers
  readonly probed: readonly ProbedService[]

  private constructor(lab: Lab, seed: number) {
    this.lab = lab
    this.topology = topologyOf(lab.paths)
    const { clusters } = this.topology
    this.nodes = clusters.flatMap(({ nodes }) => nodes)
    this.network = new Network(lab.paths, this.topology)
    const clocks = new Clocks(path.join(lab.paths.state, 'clocks'))
    this.faults = new Faults(lab.paths, this.topology, this.network, clocks)
    this.writers = new Writers(lab.paths, clusters, seed)
    this.probed = probedServices(clusters)
  }

  /** Agents, exporters and copiers are not started by the lab: each has a wall clock of its own. */
  static async raise({ lab, seed, kvstoremesh }: StageOptions): Promise<Stage> {
    await clearDead()
    const settings = SETTINGS.flatMap((setting) => ['--set', setting])
    const shape = ['--clusters', String(CLUSTERS), ...(kvstoremesh ? ['--kvstoremesh'] : [])]
    await lab.run(['up', ...shape, '--scenario', 'none', '--no-agents', ...settings])
    const stage = new Stage(lab, seed)
    await stage.network.prepare()
    stage.writers.writeAll()
    for (const cluster of stage.topology.clusters) {
      put(lab.paths, cluster, 'probed.yaml', probedManifest(cluster, stage.probed))
      stage.faults.startExporter(cluster)
      if (!kvstoremesh) continue
      configureKvstoremesh(lab.paths, cluster, [`silentAfter=${SILENT_AFTER_MS}ms`])
      stage.faults.startCopier(cluster)
    }
    for (const node of stage.nodes) stage.faults.startAgent(node)
    const wrong = await stage.settle()
    if (wrong.length === 0) return stage
    throw new Error(`the clusters are not in step before the storm: ${wrong.slice(0, 10).join('; ')}`)
  }

  /** Waits until all is as it should be; what is not, in the end, a line each. */
  async settle(): Promise<string[]> {
    const unwell = (await Promise.all(this.nodes.map((node) => isWell(this.lab, node)))).flat()
    if (unwell.length > 0) return unwell
    const deadline = monotonic() + SETTLE_MS
    for (;;) {
      const found = await this.#differences()
      if (found.length === 0 || monotonic() > deadline) return found
      await delay(500)
    }
  }

  async #differences(): Promise<string[]> {
    const { clusters } = this.topology
    const each = this.nodes.map(async (node) => {
      const truth = truthOf(node, clusters, this.writers.states, this.probed)
      return differences(node, clusters, truth, await readMaps(this.lab.paths, node))
    })
    return (await Promise.all(each)).flat()
  }
}

/** The name of a storm's lab says which process it belongs to. */
export const labName = (): string => `chaos-${process.pid}`

/** A storm that was killed could not take its lab down; the next one does. */
async function clearDead(): Promise<void> {
  for (const entry of readdirSync('/run')) {
    const [, name, pid = ''] = /^weft-lab-(chaos-(\d+))$/.exec(entry) ?? []
    if (name !== undefined && !existsSync(`/proc/${pid}`)) await new Lab(name).run(['down'])
  }
}

/** Empty once a node's agent says that nothing is wrong and nothing is left to do; what it said last otherwise, or its log. */
async function isWell(lab: Lab, node: NodeSpec): Promise<string[]> {
  const client = new ApiClient(agentSocket(lab.paths, node.name))
  const what = `${node.name}: its agent says that it is well`
  const look = async (): Promise<void> => {
    const { ok, problems, waitingFor } = await client.status()
    if (!ok) throw new Error([...problems.map(({ message }) => message), ...waitingFor].slice(0, 5).join('; '))
  }
  return eventually(look, { what, timeoutMs: SETTLE_MS, everyMs: 500 }).then(
    () => [],
    (error: unknown) => [`${describeError(error)}; its log ends with ${lastLine(logFile(lab.paths, node, 'agent'))}`],
  )
}

const lastLine = (file: string): string => readFileSync(file, 'utf8').trimEnd().split('\n').at(-1)?.slice(0, 300) ?? ''
