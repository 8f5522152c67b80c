import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parse, stringify } from 'yaml'
import { destroyCgroup } from './cgroup.ts'
import { LabError } from './errors.ts'
import { BPF_ROOT, cgroupOf, logFile, onHost, pidFile } from './hosts.ts'
import { agentConfig, apiserverConfig, kvstoremeshConfig, meshEntry, setPath } from './objects.ts'
import { builtFile, clusterDir, hostDir, type LabPaths } from './paths.ts'
import { isAlive, launch, recall, record, run, signal, type ProcessId } from './process.ts'
import { step } from './progress.ts'
import { readShape, topologyOf } from './shape.ts'
import {
  clusterNamed,
  controlPlane,
  etcdUrl,
  hostId,
  type ClusterSpec,
  type HostSpec,
  type NodeSpec,
  type PodSpec,
} from './topology.ts'

/** The processes that run on the lab's hosts: etcd, the mesh API server, kvstoremesh, agents, web servers. Each can be started, stopped and killed by itself. */

export type DaemonName = 'agent' | 'apiserver' | 'etcd' | 'kvstoremesh' | 'server'

export const apiserverDir = (lab: LabPaths, cluster: ClusterSpec): string =>
  path.join(clusterDir(lab, cluster.name), 'apiserver')
const kvstoremeshDir = (lab: LabPaths, cluster: ClusterSpec): string =>
  path.join(clusterDir(lab, cluster.name), 'kvstoremesh')
const configFile = (lab: LabPaths, node: NodeSpec): string => path.join(hostDir(lab, node.name), 'config.yaml')
const socketOf = (dir: string): string => path.join(dir, 'weft.sock')

/** Where a node's agent answers, for those who look from outside its namespaces. */
export const agentSocket = (lab: LabPaths, node: string): string => socketOf(hostDir(lab, node))

/** The environment of commands on a host: on a node, `weft` talks to that node's agent and reads that node's maps. */
export function hostEnv(lab: LabPaths, host: HostSpec): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: `${builtFile(lab, 'bin')}:${process.env['PATH'] ?? ''}`,
    WEFT_LAB_HOST: host.name,
    WEFT_CONTEXTS: contextsDir(lab),
  }
  if (host.kind !== 'node') return env
  return {
    ...env,
    WEFT_SOCKET: socketOf(hostDir(lab, host.name)),
    WEFT_APISERVER_SOCKET: socketOf(apiserverDir(lab, findClusterOf(lab, host))),
    WEFT_BPF_ROOT: BPF_ROOT,
  }
}

const findClusterOf = (lab: LabPaths, node: NodeSpec): ClusterSpec => clusterNamed(topologyOf(lab), node.cluster)

const contextsDir = (lab: LabPaths): string => path.join(lab.state, 'contexts')

/** `weft --context kind-west` from any host: the agent of the control-plane node, and the exporter beside it. */
export function writeContexts(lab: LabPaths): void {
  mkdirSync(contextsDir(lab), { recursive: true })
  for (const cluster of topologyOf(lab).clusters) {
    const to = path.join(contextsDir(lab), `kind-${cluster.name}`)
    for (const link of [`${to}.sock`, `${to}.apiserver.sock`]) rmSync(link, { force: true })
    symlinkSync(agentSocket(lab, controlPlane(cluster).name), `${to}.sock`)
    symlinkSync(socketOf(apiserverDir(lab, cluster)), `${to}.apiserver.sock`)
  }
}

/** Daemons are configured by their files alone: what the caller's shell has set for other commands must not reach them. */
function daemonEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('WEFT_')))
}

export function daemonOf(lab: LabPaths, host: HostSpec, name: DaemonName): ProcessId | undefined {
  return recall(pidFile(lab, host, name))
}

/** Starts a daemon unless it runs. */
function startDaemon(lab: LabPaths, host: HostSpec, name: DaemonName, command: readonly string[]): void {
  if (daemonOf(lab, host, name) !== undefined) return
  const pid = launch(onHost(lab, host, name, command), { log: logFile(lab, host, name), env: daemonEnv() })
  record(pidFile(lab, host, name), pid)
}

/** Asks a daemon to end, and kills it and its children when it has not after `graceMs`. */
export async function stopDaemon(lab: LabPaths, host: HostSpec, name: DaemonName, graceMs = 5000): Promise<void> {
  const id = daemonOf(lab, host, name)
  if (id !== undefined && signal(id, 'SIGTERM')) await gone(id, graceMs)
  await destroyCgroup(path.join(cgroupOf(lab, host), name))
}

/** SIGKILL, as a crash would be: nothing of it gets to clean up. */
export async function killDaemon(lab: LabPaths, host: HostSpec, name: DaemonName): Promise<void> {
  const id = daemonOf(lab, host, name)
  if (id === undefined) throw new LabError('not-running', `no ${name} runs on ${host.name}`)
  signal(id, 'SIGKILL')
  await gone(id, 5000)
}

async function gone(id: ProcessId, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (isAlive(id)) {
    if (performance.now() > deadline) return false
    await delay(10)
  }
  return true
}

/** Writes the configuration of every daemon of a cluster. `settings` are `a.b=value` that go on top of the agents' own. */
export function writeConfigs(lab: LabPaths, cluster: ClusterSpec, settings: readonly string[]): void {
  const cached = readShape(lab)?.kvstoremesh === true
  for (const node of cluster.nodes) {
    const dir = hostDir(lab, node.name)
    const clustermesh = path.join(dir, 'clustermesh')
    for (const part of ['manifests', 'state']) mkdirSync(path.join(dir, part), { recursive: true })
    writeMesh(lab, cluster, clustermesh, (remote) => (cached ? cluster : remote))
    const paths = {
      dir,
      manifests: path.join(dir, 'manifests'),
      socket: socketOf(dir),
      clustermesh,
      cgroup: cgroupOf(lab, node),
    }
    writeFileSync(configFile(lab, node), stringify(agentConfig(cluster, node, paths)))
    configure(lab, node, settings)
  }
  const dir = apiserverDir(lab, cluster)
  const manifests = path.join(dir, 'manifests')
  mkdirSync(manifests, { recursive: true })
  writeFileSync(
    path.join(dir, 'config.yaml'),
    stringify(apiserverConfig(cluster, { dir, manifests, socket: socketOf(dir) })),
  )
  if (!cached) return
  const copies = kvstoremeshDir(lab, cluster)
  const clustermesh = path.join(copies, 'clustermesh')
  writeMesh(lab, cluster, clustermesh, (remote) => remote)
  const config = kvstoremeshConfig(cluster, { clustermesh, socket: socketOf(copies) })
  writeFileSync(path.join(copies, 'config.yaml'), stringify(config))
}

/** A directory that names every other cluster, each with the etcd it is read from. */
function writeMesh(lab: LabPaths, own: ClusterSpec, dir: string, etcdOf: (remote: ClusterSpec) => ClusterSpec): void {
  mkdirSync(dir, { recursive: true })
  for (const remote of topologyOf(lab).clusters)
    if (remote !== own) writeFileSync(path.join(dir, remote.name), stringify(meshEntry(etcdOf(remote))))
}

/** Changes a node's configuration file; the agent reads it at its next start. False where it is so already. */
export function configure(lab: LabPaths, node: NodeSpec, settings: readonly string[]): boolean {
  return setAll(configFile(lab, node), settings)
}

/** As `configure`, of the copier of a cluster. */
export function configureKvstoremesh(lab: LabPaths, cluster: ClusterSpec, settings: readonly string[]): void {
  setAll(path.join(kvstoremeshDir(lab, cluster), 'config.yaml'), settings)
}

function setAll(file: string, settings: readonly string[]): boolean {
  if (settings.length === 0) return false
  const before = readFileSync(file, 'utf8')
  const config = parse(before) as Record<string, unknown>
  for (const setting of settings) {
    const at = setting.indexOf('=')
    if (at < 1)
      throw new LabError('bad-setting', `${JSON.stringify(setting)} is not KEY=VALUE`, {
        hint: 'for example --set loadBalancer.algorithm=maglev',
      })
    setPath(config, setting.slice(0, at), parse(setting.slice(at + 1)) as unknown)
  }
  const after = stringify(config)
  writeFileSync(file, after)
  return after !== before
}

/** The `weft` command of this checkout; it replaces itself by node, so its pid is the daemon's. */
const weft = (lab: LabPaths, ...args: string[]): string[] => [builtFile(lab, 'bin', 'weft'), ...args]

export function startEtcd(lab: LabPaths, cluster: ClusterSpec): void {
  const peer = 'http://127.0.0.1:2380'
  const flags = {
    name: cluster.name,
    'data-dir': path.join(clusterDir(lab, cluster.name), 'etcd'),
    'listen-client-urls': `${etcdUrl(cluster)},http://127.0.0.1:2379`,
    'advertise-client-urls': etcdUrl(cluster),
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': `${cluster.name}=${peer}`,
    'log-level': 'warn',
  }
  const command = ['etcd', ...Object.entries(flags).map(([key, value]) => `--${key}=${value}`)]
  startDaemon(lab, controlPlane(cluster), 'etcd', command)
}

export async function etcdReady(lab: LabPaths, cluster: ClusterSpec): Promise<void> {
  const node = controlPlane(cluster)
  const probe = `for i in $(seq 200); do curl -sf -m 1 ${etcdUrl(cluster)}/health | grep -q true && exit 0; sleep 0.05; done; exit 1`
  const done = await run(onHost(lab, node, 'exec', ['bash', '-c', probe]))
  if (done.code === 0) return
  throw new LabError('etcd-not-ready', `etcd of ${cluster.name} does not answer`, {
    hint: `see ${logFile(lab, node, 'etcd')}`,
  })
}

export function startApiserver(lab: LabPaths, cluster: ClusterSpec): void {
  const config = path.join(apiserverDir(lab, cluster), 'config.yaml')
  startDaemon(lab, controlPlane(cluster), 'apiserver', weft(lab, 'clustermesh-apiserver', '--config', config))
}

export function startKvstoremesh(lab: LabPaths, cluster: ClusterSpec): void {
  const config = path.join(kvstoremeshDir(lab, cluster), 'config.yaml')
  startDaemon(lab, controlPlane(cluster), 'kvstoremesh', weft(lab, 'kvstoremesh', '--config', config))
}

export function startAgent(lab: LabPaths, node: NodeSpec): void {
  startDaemon(lab, node, 'agent', weft(lab, 'agent', '--config', configFile(lab, node)))
}

export function startServer(lab: LabPaths, pod: PodSpec): void {
  const file = builtFile(lab, 'js', 'test', 'lab', 'pod', 'webpod.js')
  startDaemon(lab, pod, 'server', [process.execPath, file, pod.name, pod.ip])
}

/** Waits until a pod's server answers on the pod's own address. */
export async function serverReady(lab: LabPaths, pod: PodSpec): Promise<void> {
  const probe = `for i in $(seq 200); do curl -sf -m 1 -o /dev/null http://${pod.ip}/ && exit 0; sleep 0.05; done; exit 1`
  const done = await run(onHost(lab, pod, 'exec', ['bash', '-c', probe]))
  if (done.code !== 0)
    throw new LabError('pod-not-ready', `${hostId(pod)} does not serve`, { hint: `see ${logFile(lab, pod, 'server')}` })
}

/** The parts of the agent's status report that say how far it is. */
interface AgentStatus {
  readonly ok?: boolean
  readonly problems?: readonly { readonly code: string; readonly message: string }[]
  readonly waitingFor?: readonly string[]
  readonly targets?: readonly { readonly name: string; readonly pending: number }[]
  readonly clusterMesh?: { readonly clusters: readonly { readonly name: string; readonly ready: boolean }[] }
}

/**
 * What an agent has yet to do; empty when it is ready. A problem with somebody's object does not count: the rest of the
 * lab works, and `weft status` tells about it.
 */
function unfinished(status: AgentStatus | undefined): string[] {
  if (status === undefined) return ['it does not answer']
  if (status.ok === true) return []
  const { waitingFor = [], targets = [], clusterMesh } = status
  const remote = clusterMesh?.clusters.filter((cluster) => !cluster.ready) ?? []
  return [
    ...waitingFor.map((source) => `waiting for ${source}`),
    ...targets
      .filter((target) => target.pending > 0)
      .map((target) => `${String(target.pending)} pending in ${target.name}`),
    ...remote.map((cluster) => `cluster ${cluster.name} is not ready`),
  ]
}

/** Waits until a node's agent says that everything it is asked for is in the kernel. */
export async function agentReady(lab: LabPaths, node: NodeSpec, timeoutMs = 60_000): Promise<void> {
  await step(`waiting for the agent of ${node.name}`, async () => {
    const deadline = performance.now() + timeoutMs
    for (let wait = 50; ; wait = Math.min(wait * 2, 500)) {
      if (daemonOf(lab, node, 'agent') === undefined) throw agentError(lab, node, 'ended')
      const status = existsSync(socketOf(hostDir(lab, node.name))) ? await agentStatus(lab, node) : undefined
      const left = unfinished(status)
      if (left.length === 0) return
      if (performance.now() > deadline) {
        const problems = status?.problems?.map((problem) => `${problem.code}: ${problem.message}`) ?? []
        throw agentError(
          lab,
          node,
          `is not ready after ${String(timeoutMs / 1000)} s: ${[...left, ...problems].join('; ')}`,
        )
      }
      await delay(wait)
    }
  })
}

export async function agentStatus(lab: LabPaths, node: NodeSpec): Promise<AgentStatus | undefined> {
  const done = await run(onHost(lab, node, 'exec', weft(lab, 'status', '-o', 'json')), { env: hostEnv(lab, node) })
  try {
    return JSON.parse(done.stdout) as AgentStatus
  } catch {
    return undefined // no agent behind the socket yet: the command says so on stderr and prints nothing
  }
}

function agentError(lab: LabPaths, node: NodeSpec, what: string): LabError {
  const log = logFile(lab, node, 'agent')
  const tail = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n  ') : 'no log'
  return new LabError('agent-not-ready', `the agent of ${node.name} ${what}\n  ${tail}`, { hint: `see ${log}` })
}
