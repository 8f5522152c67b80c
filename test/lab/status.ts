import { existsSync } from 'node:fs'
import path from 'node:path'
import { daemonOf } from './daemons.ts'
import { holderOf } from './hosts.ts'
import { hostDir, storeDir, type LabPaths } from './paths.ts'
import { objectFile, stored } from './store.ts'
import { readShape, topologyOf } from './shape.ts'
import { controlPlane, etcdUrl, type ClusterSpec } from './topology.ts'
import { readRecord } from './up.ts'

type Running = 'running' | 'stopped'

export interface NodeStatus {
  readonly name: string
  readonly ip: string
  readonly podCidr: string
  readonly host: Running
  readonly agent: Running
  readonly manifests: string
  readonly socket: string
}

export interface ClusterStatus {
  readonly name: string
  readonly id: number
  /** etcd's client URL, as nodes reach it. */
  readonly etcd: string
  readonly etcdState: Running
  readonly apiserver: Running
  /** Only in a lab that came up with it. */
  readonly kvstoremesh: Running | undefined
  readonly manifests: string
  readonly nodes: readonly NodeStatus[]
}

export interface LabStatus {
  readonly name: string
  readonly up: boolean
  readonly scenario: string | undefined
  readonly clusters: readonly ClusterStatus[]
}

const state = (id: unknown): Running => (id === undefined ? 'stopped' : 'running')

/** A lab that is not up has no clusters. */
export function labStatus(lab: LabPaths): LabStatus {
  const record = readRecord(lab)
  if (!existsSync(lab.state)) return { name: lab.name, up: false, scenario: undefined, clusters: [] }
  return {
    name: lab.name,
    up: record !== undefined,
    scenario: record?.scenario,
    clusters: topologyOf(lab).clusters.map((cluster) => clusterStatus(lab, cluster)),
  }
}

function clusterStatus(lab: LabPaths, cluster: ClusterSpec): ClusterStatus {
  const main = controlPlane(cluster)
  const nodes = cluster.nodes.map((node): NodeStatus => ({
    name: node.name,
    ip: node.ip,
    podCidr: node.podCidr,
    host: state(holderOf(lab, node)),
    agent: state(daemonOf(lab, node, 'agent')),
    manifests: path.join(hostDir(lab, node.name), 'manifests'),
    socket: path.join(hostDir(lab, node.name), 'weft.sock'),
  }))
  return {
    name: cluster.name,
    id: cluster.id,
    etcd: etcdUrl(cluster),
    etcdState: state(daemonOf(lab, main, 'etcd')),
    apiserver: state(daemonOf(lab, main, 'apiserver')),
    kvstoremesh: readShape(lab)?.kvstoremesh === true ? state(daemonOf(lab, main, 'kvstoremesh')) : undefined,
    manifests: storeDir(lab, cluster.name),
    nodes,
  }
}

export interface PodRow {
  readonly name: string
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
  readonly ip: string
  readonly node: string
}

/** The pods that exist now: those whose object the cluster has. */
export function podRows(lab: LabPaths, cluster: ClusterSpec): PodRow[] {
  const files = new Set(stored(lab, cluster))
  return cluster.pods
    .filter((pod) => files.has(objectFile('Pod', pod.name, pod.namespace)))
    .map(({ name, namespace, labels, ip, node }) => ({ name, namespace, labels, ip, node }))
}
