import {
  agentReady,
  etcdReady,
  killDaemon,
  serverReady,
  startAgent,
  startApiserver,
  startEtcd,
  startKvstoremesh,
  startServer,
  stopDaemon,
  type DaemonName,
} from './daemons.ts'
import { LabError } from './errors.ts'
import { readShape } from './shape.ts'
import { drop, findCluster, objectFile } from './store.ts'
import type { LabPaths } from './paths.ts'
import type { HostSpec, NodeSpec, PodSpec } from './topology.ts'
import { putPod } from './up.ts'

/* What `lab start`, `stop` and `kill` do on a host. */

/** The daemon that start, stop and kill mean on a host. */
export const daemonFor = (host: HostSpec): DaemonName => {
  if (host.kind === 'node') return 'agent'
  if (host.kind === 'pod' && host.serves) return 'server'
  throw new LabError('nothing-runs-there', `${host.name} runs no daemon`, {
    hint: 'name a node (its agent) or a web pod',
  })
}

export async function startOn(lab: LabPaths, host: NodeSpec | PodSpec): Promise<void> {
  if (host.kind === 'node') {
    startAgent(lab, host)
    return agentReady(lab, host)
  }
  startServer(lab, host)
  await serverReady(lab, host)
  putPod(lab, findCluster(lab, host.cluster), host)
}

/** A pod that stops leaves the cluster first and serves on for its grace time. */
async function stopOn(lab: LabPaths, host: NodeSpec | PodSpec): Promise<void> {
  if (host.kind === 'pod') drop(lab, findCluster(lab, host.cluster), objectFile('Pod', host.name, host.namespace))
  await stopDaemon(lab, host, daemonFor(host))
}

export async function controlPlaneDaemon(lab: LabPaths, host: HostSpec, verb: string, daemon: string): Promise<void> {
  const runs =
    daemon === 'etcd' || daemon === 'apiserver' || (daemon === 'kvstoremesh' && readShape(lab)?.kvstoremesh === true)
  if (host.kind !== 'node' || host.role !== 'control-plane' || !runs)
    throw new LabError('nothing-runs-there', `${host.name} runs no ${daemon}`, {
      hint: '--of takes etcd, apiserver, or kvstoremesh where the lab has it, of a control-plane node',
    })
  if (verb === 'kill') return killDaemon(lab, host, daemon)
  if (verb === 'stop') return stopDaemon(lab, host, daemon)
  const cluster = findCluster(lab, host.cluster)
  if (daemon === 'apiserver') return startApiserver(lab, cluster)
  if (daemon === 'kvstoremesh') return startKvstoremesh(lab, cluster)
  startEtcd(lab, cluster)
  return etcdReady(lab, cluster)
}

/** The verb, what it does, what is said when it is done, and how it is done to what a host is for. */
export const VERBS = [
  ['start', "start a node's agent or a pod again, and wait until it is ready", 'started', startOn],
  ['stop', "stop a node's agent, or make a pod go away", 'stopped', stopOn],
  [
    'kill',
    "SIGKILL for a node's agent or a pod's server",
    'killed',
    (lab: LabPaths, host: HostSpec) => killDaemon(lab, host, daemonFor(host)),
  ],
] as const
