import { setTimeout as delay } from 'node:timers/promises'
import {
  agentSocket,
  daemonOf,
  etcdReady,
  hostEnv,
  killDaemon,
  startAgent,
  startApiserver,
  startEtcd,
  startKvstoremesh,
  type DaemonName,
} from '../lab/daemons.ts'
import { LabError } from '../lab/errors.ts'
import { onHost } from '../lab/hosts.ts'
import type { LabPaths } from '../lab/paths.ts'
import { must, signal } from '../lab/process.ts'
import { clusterNamed, controlPlane, etcdUrl, type ClusterSpec, type NodeSpec, type Topology } from '../lab/topology.ts'
import { ApiClient } from '../../agent/api/client.ts'
import { LOCAL_SOURCE } from '../../agent/state/sync.ts'
import { eventually } from '../eventually.ts'
import type { Clocks } from './clocks.ts'
import type { Absence, Cut, Events } from './judge.ts'
import { monotonic } from './monotonic.ts'
import type { Network } from './network.ts'
import type { Fault } from './schedule.ts'

/** An agent that was killed works within this time, also when the machine is busy and it is killed again meanwhile. */
const BACK_WITHIN_MS = 120_000

/** Does to the lab what a schedule says, and keeps what a judge has to know about it. */
export class Faults {
  readonly #lab: LabPaths
  readonly #topology: Topology
  readonly #network: Network
  readonly #clocks: Clocks
  readonly #cuts: Cut[] = []
  readonly #absences: Absence[] = []

  constructor(lab: LabPaths, topology: Topology, network: Network, clocks: Clocks) {
    this.#lab = lab
    this.#topology = topology
    this.#network = network
    this.#clocks = clocks
  }

  get events(): Events {
    return { cuts: this.#cuts, absences: this.#absences }
  }

  startAgent(node: NodeSpec): void {
    this.#clocks.launch(`${node.name}.agent`, () => startAgent(this.#lab, node))
  }

  startExporter(cluster: ClusterSpec): void {
    this.#clocks.launch(`${cluster.name}.exporter`, () => startApiserver(this.#lab, cluster))
  }

  startCopier(cluster: ClusterSpec): void {
    this.#clocks.launch(`${cluster.name}.copier`, () => startKvstoremesh(this.#lab, cluster))
  }

  /** Puts a fault in place, waits, and takes it away. */
  async inflict({ kind, target, ms, skew = 0 }: Fault): Promise<void> {
    const cluster = (): ClusterSpec => clusterNamed(this.#topology, target)
    switch (kind) {
      case 'partition':
        return this.#cut({ kind, target }, ms, (yes) => this.#network.partition(cluster(), yes))
      case 'link-down':
        return this.#cut({ kind, target }, ms, (yes) => this.#network.cable(this.#node(target), !yes))
      case 'etcd-hole':
        return this.#hole(cluster(), ms)
      case 'etcd-reset':
        return this.#network.resetEtcd(cluster())
      case 'etcd-kill':
        await this.#kill(controlPlane(cluster()), 'etcd', ms, () => startEtcd(this.#lab, cluster()))
        return etcdReady(this.#lab, cluster())
      case 'etcd-stop':
        return this.#halt(controlPlane(cluster()), 'etcd', ms)
      case 'compact':
        return this.#compact(cluster())
      case 'compact-away':
        return this.#hole(cluster(), ms, () => this.#compact(cluster()))
      case 'exporter-kill':
        return this.#kill(controlPlane(cluster()), 'apiserver', ms, () => this.startExporter(cluster()))
      case 'exporter-stop':
        return this.#halt(controlPlane(cluster()), 'apiserver', ms)
      case 'exporter-clock':
        return this.#clocks.set(`${target}.exporter`, skew)
      case 'copier-kill':
        return this.#kill(controlPlane(cluster()), 'kvstoremesh', ms, () => this.startCopier(cluster()))
      case 'copier-stop':
        return this.#halt(controlPlane(cluster()), 'kvstoremesh', ms)
      case 'agent-kill':
        return this.#absent(target, async (node) => {
          await this.#kill(node, 'agent', ms, () => this.startAgent(node))
          await this.#works(node)
        })
      case 'agent-stop':
        return this.#absent(target, (node) => this.#halt(node, 'agent', ms))
      case 'agent-clock':
        return this.#clocks.set(`${target}.agent`, skew)
    }
  }

  async #cut(
    { kind, target }: Pick<Cut, 'kind' | 'target'>,
    ms: number,
    apart: (yes: boolean) => Promise<void>,
  ): Promise<void> {
    const cut: Cut = { kind, target, from: monotonic(), inPlace: Infinity, to: Infinity }
    this.#cuts.push(cut)
    await apart(true)
    cut.inPlace = monotonic()
    await delay(ms)
    await apart(false)
    cut.to = monotonic()
  }

  async #hole(cluster: ClusterSpec, ms: number, last: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    await this.#network.hideEtcd(cluster, true)
    await delay(ms)
    await last()
    await this.#network.hideEtcd(cluster, false)
  }

  async #kill(node: NodeSpec, daemon: DaemonName, ms: number, start: () => void): Promise<void> {
    await killDaemon(this.#lab, node, daemon)
    await delay(ms)
    start()
  }

  async #absent(name: string, work: (node: NodeSpec) => Promise<void>): Promise<void> {
    const absence: Absence = { node: name, from: monotonic(), to: Infinity }
    this.#absences.push(absence)
    await work(this.#node(name))
    absence.to = monotonic()
  }

  async #halt(node: NodeSpec, daemon: DaemonName, ms: number): Promise<void> {
    const id = daemonOf(this.#lab, node, daemon)
    if (id === undefined || !signal(id, 'SIGSTOP')) throw new LabError('not-running', `no ${daemon} on ${node.name}`)
    try {
      await delay(ms)
    } finally {
      signal(id, 'SIGCONT')
    }
  }

  /** What is older than the newest revision is forgotten; a write of our own makes sure that there is something older. */
  async #compact(cluster: ClusterSpec): Promise<void> {
    const script = `
      set -e
      export ETCDCTL_API=3
      revision=$(etcdctl --endpoints "$0" put storm/filler "$RANDOM" -w json | jq .header.revision)
      etcdctl --endpoints "$0" compact "$revision" --physical=true`
    const node = controlPlane(cluster)
    await must(onHost(this.#lab, node, 'exec', ['bash', '-c', script, etcdUrl(cluster)]), {
      env: hostEnv(this.#lab, node),
    })
  }

  /** Before the objects of its own cluster are in, an agent leaves all services as the one before it did. */
  async #works(node: NodeSpec): Promise<void> {
    const client = new ApiClient(agentSocket(this.#lab, node.name))
    const look = async (): Promise<boolean> => !(await client.status()).waitingFor.includes(LOCAL_SOURCE)
    await eventually(look, { timeoutMs: BACK_WITHIN_MS, what: `the agent of ${node.name} works` })
  }

  #node(name: string): NodeSpec {
    const found = this.#topology.clusters.flatMap(({ nodes }) => nodes).find((node) => node.name === name)
    if (found === undefined) throw new TypeError(`no node ${name}`)
    return found
  }
}
