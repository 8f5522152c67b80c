import { holderOrFail } from '../lab/hosts.ts'
import type { LabPaths } from '../lab/paths.ts'
import { must } from '../lab/process.ts'
import { UPLINK, controlPlane, type ClusterSpec, type HostSpec, type NodeSpec, type Topology } from '../lab/topology.ts'

/**
 * Faults of the network. Packets are dropped where they arrive, by rules that come before all routing, so that a sender gets
 * no error: its packets are simply never answered.
 */

/** Where rules of each kind stand, and where the lookup of own addresses goes, which stands first by itself. */
const PARTITION = 10
const ETCD_HOLE = 11
const LOCAL = 100

const ETCD_PORT = 2379

/** Of each node concerned, the rules it gets, without `rule add`. */
type Rules = readonly (readonly [node: NodeSpec, rules: readonly string[]])[]

export class Network {
  readonly #lab: LabPaths
  readonly #topology: Topology

  constructor(lab: LabPaths, topology: Topology) {
    this.#lab = lab
    this.#topology = topology
  }

  /** The lookup of own addresses is moved back, so that rules can come before it. */
  async prepare(): Promise<void> {
    const move = [`rule add pref ${LOCAL} lookup local`, 'rule del pref 0']
    await Promise.all(this.#nodes.map((node) => this.#ip(node, move)))
  }

  /** No packet passes between a cluster and the others, or again. The client outside reaches all of them all the time. */
  async partition(cluster: ClusterSpec, yes: boolean): Promise<void> {
    const others = this.#othersThan(cluster)
    await this.#rules(yes, [
      ...cluster.nodes.map((node) => [node, dropFrom(others)] as const),
      ...others.flatMap(({ nodes }) => nodes).map((node) => [node, dropFrom([cluster])] as const),
    ])
  }

  /** Packets between a cluster's etcd and other clusters are dropped, in both directions, or no longer. */
  async hideEtcd(cluster: ClusterSpec, yes: boolean): Promise<void> {
    const etcd = controlPlane(cluster)
    const others = this.#othersThan(cluster).flatMap(({ nodes }) => nodes)
    const rule = `pref ${ETCD_HOLE} iif ${UPLINK} ipproto tcp`
    await this.#rules(yes, [
      [etcd, others.map(({ ip }) => `${rule} dport ${ETCD_PORT} from ${ip} blackhole`)],
      ...others.map((node) => [node, [`${rule} sport ${ETCD_PORT} from ${etcd.ip} blackhole`]] as const),
    ])
  }

  /** Resets every connection of other clusters with this etcd. */
  async resetEtcd(cluster: ClusterSpec): Promise<void> {
    const etcd = controlPlane(cluster)
    await must(this.#in(etcd, ['ss', '-tnHK', 'state', 'established', `sport = ${ETCD_PORT}`]))
  }

  /** Pulls the cable of a node, or puts it back: the port of the segment that it hangs on. */
  async cable(node: NodeSpec, up: boolean): Promise<void> {
    const port = `p-${node.ip.split('.').at(-1) ?? ''}`
    await this.#ip(this.#topology.bridge, [`link set ${port} ${up ? 'up' : 'down'}`])
  }

  get #nodes(): NodeSpec[] {
    return this.#topology.clusters.flatMap(({ nodes }) => nodes)
  }

  #othersThan(cluster: ClusterSpec): ClusterSpec[] {
    return this.#topology.clusters.filter((other) => other !== cluster)
  }

  async #rules(yes: boolean, rules: Rules): Promise<void> {
    const verb = yes ? 'add' : 'del'
    const each = rules.map(([node, lines]) =>
      this.#ip(
        node,
        lines.map((line) => `rule ${verb} ${line}`),
      ),
    )
    await Promise.all(each)
  }

  #in(host: HostSpec, command: readonly string[]): string[] {
    return ['nsenter', '-t', String(holderOrFail(this.#lab, host).pid), '-n', ...command]
  }

  async #ip(host: HostSpec, lines: readonly string[]): Promise<void> {
    await must(this.#in(host, ['ip', '-batch', '-']), { input: `${lines.join('\n')}\n` })
  }
}

function dropFrom(clusters: readonly ClusterSpec[]): string[] {
  return clusters
    .flatMap(({ podCidr, nodes }) => [podCidr, ...nodes.map(({ ip }) => ip)])
    .map((source) => `pref ${PARTITION} iif ${UPLINK} from ${source} blackhole`)
}
