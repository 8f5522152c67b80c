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
  type DaemonName,
} from '../lab/daemons.ts'
import { LabError } from '../lab/errors.ts'
import { onHost } from '../lab/hosts.ts'
import type { LabPaths } from '../lab/paths.ts'
import { must, signal } from '../lab/process.ts'
import { clusterNamed, controlPlane, etcdUrl, type ClusterSpec, type NodeSpec, type Topology } from '../lab/topology.ts'
import { ApiClient } from '../../agent/api/client.ts'
import { eventually } from '../eventually.ts'
import type { Clocks } from './clocks.ts'
import type { Absence, Cut, Events } from './judge.ts'
import { monotonic } from './monotonic.ts'
import type { Network } from './network.ts'
import type { Fault } from './schedule.ts'

/** A process that was killed has this long to answer once it is started again. */
const BACK_WITHIN_MS = 60_000

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

  /** Puts a fault in place, waits, and takes it away. */
  async inflict({ kind, target, ms, skew = 0 }: Fault): Promise<void> {
    const lab = this.#lab
    switch (kind) {
      case 'partition':
        return this.#cut(
          { kind, target },
          () => this.#network.partition(this.#cluster(target)),
          () => this.#network.heal(),
          ms,
        )
      case 'link-down': {
        const node = this.#node(target)
        return this.#cut(
          { kind, target },
          () => this.#network.cable(node, false),
          () => this.#network.cable(node, true),
          ms,
        )
      }
      case 'etcd-hole':
        await this.#network.hideEtcd(this.#cluster(target))
        await delay(ms)
        return this.#network.showEtcd()
      case 'etcd-reset':
        return this.#network.resetEtcd(this.#cluster(target))
      case 'etcd-kill':
        await killDaemon(lab, controlPlane(this.#cluster(target)), 'etcd')
        await delay(ms)
        startEtcd(lab, this.#cluster(target))
        return etcdReady(lab, this.#cluster(target))
      case 'etcd-stop':
        return this.#halt(controlPlane(this.#cluster(target)), 'etcd', ms)
      case 'compact':
        return this.#compact(this.#cluster(target))
      case 'compact-away':
        await this.#network.hideEtcd(this.#cluster(target))
        await delay(ms)
        await this.#compact(this.#cluster(target))
        return this.#network.showEtcd()
      case 'exporter-kill':
        await killDaemon(lab, controlPlane(this.#cluster(target)), 'apiserver')
        await delay(ms)
        return this.startExporter(this.#cluster(target))
      case 'exporter-stop':
        return this.#halt(controlPlane(this.#cluster(target)), 'apiserver', ms)
      case 'exporter-clock':
        return this.#clocks.set(`${target}.exporter`, skew)
      case 'agent-kill':
        return this.#absent(target, async () => {
          await killDaemon(lab, this.#node(target), 'agent')
          await delay(ms)
          this.startAgent(this.#node(target))
          await this.#answers(target)
        })
      case 'agent-stop':
        return this.#absent(target, () => this.#halt(this.#node(target), 'agent', ms))
      case 'agent-clock':
        return this.#clocks.set(`${target}.agent`, skew)
    }
  }

  async #cut(
    { kind, target }: Pick<Cut, 'kind' | 'target'>,
    apply: () => Promise<void>,
    lift: () => Promise<void>,
    ms: number,
  ): Promise<void> {
    const from = monotonic()
    const cut: Cut = { kind, target, from, inPlace: Infinity, to: Infinity }
    this.#cuts.push(cut)
    await apply()
    cut.inPlace = monotonic()
    await delay(ms)
    await lift()
    cut.to = monotonic()
  }

  async #absent(node: string, work: () => Promise<void>): Promise<void> {
    const absence: Absence = { node, from: monotonic(), to: Infinity }
    this.#absences.push(absence)
    await work()
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

  async #answers(node: string): Promise<void> {
    const client = new ApiClient(agentSocket(this.#lab, node))
    await eventually(() => client.status(), { timeoutMs: BACK_WITHIN_MS, what: `the agent of ${node} answers` })
  }

  #cluster(name: string): ClusterSpec {
    return clusterNamed(this.#topology, name)
  }

  #node(name: string): NodeSpec {
    const found = this.#topology.clusters.flatMap(({ nodes }) => nodes).find((node) => node.name === name)
    if (found === undefined) throw new TypeError(`no node ${name}`)
    return found
  }
}
