import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { stringify } from 'yaml'
import { makeCgroup } from './cgroup.ts'
import {
  agentReady,
  configure,
  etcdReady,
  serverReady,
  startAgent,
  startApiserver,
  startEtcd,
  startKvstoremesh,
  startServer,
  stopDaemon,
  writeConfigs,
  writeContexts,
} from './daemons.ts'
import { tearDown } from './down.ts'
import { LabError } from './errors.ts'
import { cgroupOf, holderOf, startHost } from './hosts.ts'
import { writeHostsFile, writeOutsideHosts } from './names.ts'
import { prepareForXdp, takesXdp, wire } from './network.ts'
import { nodeObject, podObject, type KubernetesObject } from './objects.ts'
import { builtFile, type LabPaths } from './paths.ts'
import { say, step } from './progress.ts'
import { apply, objectFile, put, remove } from './store.ts'
import { describeShape, nameFlag, readShape, topologyOf, writeShape } from './shape.ts'
import { DEFAULT_SHAPE, allHosts, type ClusterSpec, type PodSpec, type Shape } from './topology.ts'

export interface UpOptions {
  /** What was asked for; the rest is as the lab was built, or the default. */
  readonly shape: Partial<Shape>
  /** A name in test/lab/scenarios, or `none`. */
  readonly scenario: string
  readonly agents: boolean
  /** `a.b=value` on top of every agent's configuration. */
  readonly settings: readonly string[]
}

/** What a finished `up` leaves in lab.json; without it a lab was cut off while it came up. */
interface LabRecord {
  readonly scenario: string
  readonly agents: boolean
}

const recordFile = (lab: LabPaths): string => path.join(lab.state, 'lab.json')

export function readRecord(lab: LabPaths): LabRecord | undefined {
  if (!existsSync(recordFile(lab))) return undefined
  return JSON.parse(readFileSync(recordFile(lab), 'utf8')) as LabRecord
}

/** Brings the lab up, or what is missing of it. Running parts are left alone, but for agents that are to have other settings. */
export async function up(lab: LabPaths, options: UpOptions): Promise<void> {
  if (process.getuid?.() !== 0) throw new LabError('not-root', 'the lab needs root', { hint: 'sudo make lab' })
  if (options.agents) requireBuilt(lab)
  const before = readRecord(lab)
  const built = readShape(lab) ?? DEFAULT_SHAPE
  const shape = { ...built, ...options.shape }
  if (before === undefined || allHosts(topologyOf(lab)).some((host) => holderOf(lab, host) === undefined)) {
    scenarioFiles(lab, options.scenario) // refused before anything is touched
    if (existsSync(lab.state) || existsSync(lab.cgroup)) {
      say('a part of the lab is missing: clearing what is left of it')
      await tearDown(lab)
    }
    await build(lab, shape, options)
  } else if (shape.clusters !== built.clusters || shape.kvstoremesh !== built.kvstoremesh) {
    throw new LabError(
      'other-shape',
      `lab ${lab.name} is up with ${describeShape(built)}, not ${describeShape(shape)}: that is fixed until it goes down`,
      {
        hint: `test/lab/lab${nameFlag(lab)} down first; or up without --clusters and --kvstoremesh to keep it as it is`,
      },
    )
  } else {
    await reconfigure(lab, options.settings)
    if (before.scenario !== options.scenario)
      for (const [cluster, files] of scenarioFiles(lab, before.scenario)) remove(lab, cluster, files)
  }
  for (const [cluster, files] of scenarioFiles(lab, options.scenario)) apply(lab, cluster, files)
  await startEverything(lab, options)
  writeFileSync(
    recordFile(lab),
    JSON.stringify({ scenario: options.scenario, agents: options.agents } satisfies LabRecord),
  )
}

/** Agents that run with other settings are stopped, to be started with these. */
async function reconfigure(lab: LabPaths, settings: readonly string[]): Promise<void> {
  if (takesXdp(settings)) await prepareForXdp(lab)
  const nodes = topologyOf(lab).clusters.flatMap((cluster) => cluster.nodes)
  const changed = nodes.filter((node) => configure(lab, node, settings))
  await Promise.all(changed.map((node) => stopDaemon(lab, node, 'agent')))
}

/** Hosts, wires and manifests, with nothing running on them yet. */
async function build(lab: LabPaths, shape: Shape, options: UpOptions): Promise<void> {
  mkdirSync(lab.state, { recursive: true })
  writeShape(lab, shape)
  const topology = topologyOf(lab)
  makeCgroup(lab.cgroup)
  writeOutsideHosts(lab)
  writeContexts(lab)
  for (const cluster of topology.clusters) {
    writeHostsFile(lab, cluster)
    for (const node of cluster.nodes) makeCgroup(cgroupOf(lab, node))
  }
  await step('starting the hosts', () => Promise.all(allHosts(topology).map((host) => startHost(lab, host))))
  await step('wiring them together', () => wire(lab, takesXdp(options.settings)))
  for (const cluster of topology.clusters) {
    writeConfigs(lab, cluster, options.settings)
    for (const node of cluster.nodes) putObject(lab, cluster, nodeObject(node))
    for (const pod of cluster.pods) putPod(lab, cluster, pod)
  }
}

function putObject(lab: LabPaths, cluster: ClusterSpec, object: KubernetesObject): void {
  put(lab, cluster, objectFile(object.kind, object.metadata.name, object.metadata.namespace), stringify(object))
}

export function putPod(lab: LabPaths, cluster: ClusterSpec, pod: PodSpec): void {
  const node = cluster.nodes.find((candidate) => candidate.name === pod.node)
  if (node === undefined) throw new TypeError(`pod ${pod.name} is on no node of ${cluster.name}`)
  putObject(lab, cluster, podObject(pod, node))
}

/** Everything that does not wait for another starts at once; etcd comes before those who write to it. */
async function startEverything(lab: LabPaths, options: UpOptions): Promise<void> {
  const topology = topologyOf(lab)
  const cached = readShape(lab)?.kvstoremesh === true
  const servers = topology.clusters.flatMap((cluster) => cluster.pods.filter((pod) => pod.serves))
  for (const cluster of topology.clusters) startEtcd(lab, cluster)
  for (const pod of servers) startServer(lab, pod)
  const nodes = topology.clusters.flatMap((cluster) => cluster.nodes)
  if (options.agents) for (const node of nodes) startAgent(lab, node)
  await Promise.all([
    ...servers.map((pod) => step(`waiting for ${pod.name}`, () => serverReady(lab, pod))),
    ...topology.clusters.map(async (cluster) => {
      await step(`waiting for the etcd of ${cluster.name}`, () => etcdReady(lab, cluster))
      if (!options.agents) return
      startApiserver(lab, cluster)
      if (cached) startKvstoremesh(lab, cluster)
    }),
  ])
  if (options.agents) await Promise.all(nodes.map((node) => agentReady(lab, node)))
}

function requireBuilt(lab: LabPaths): void {
  const missing = [builtFile(lab, 'bin', 'weft'), builtFile(lab, 'bpf')].find((file) => !existsSync(file))
  if (missing !== undefined) throw new LabError('not-built', `${missing} is missing`, { hint: 'run `make build`' })
}

/**
 * A scenario is NAME.yaml for all clusters and NAME.CLUSTER.yaml for one.
 * @throws LabError no-such-scenario
 */
export function scenarioFiles(lab: LabPaths, name: string): Map<ClusterSpec, string[]> {
  const dir = path.join(lab.root, 'test', 'lab', 'scenarios')
  const files = new Map(
    topologyOf(lab).clusters.map((cluster) => {
      const candidates = [`${name}.yaml`, `${name}.${cluster.name}.yaml`].map((file) => path.join(dir, file))
      return [cluster, candidates.filter((file) => existsSync(file))] as const
    }),
  )
  if (name !== 'none' && [...files.values()].every((list) => list.length === 0)) {
    const known = readdirSync(dir).map((file) => file.split('.')[0])
    throw new LabError('no-such-scenario', `no scenario ${JSON.stringify(name)}`, {
      hint: `one of: none, ${[...new Set(known)].join(', ')}`,
    })
  }
  return files
}
