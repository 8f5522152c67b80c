import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EtcdProcess } from '../net/etcd.ts'
import { podManifest as pod, startExporter } from '../net/exporter.ts'
import { replaceFile } from '../replace-file.ts'

/** A cluster as weft exports it: manifests, an exporter, an etcd of its own. */
export class ExportedCluster {
  readonly etcd: EtcdProcess
  readonly #name: string
  readonly #id: number
  readonly #directory: string
  #stop: () => Promise<void>

  private constructor(name: string, id: number, etcd: EtcdProcess, directory: string) {
    this.#name = name
    this.#id = id
    this.etcd = etcd
    this.#directory = directory
    this.#stop = this.#export()
  }

  #export(): () => Promise<void> {
    const exported = { clusterName: this.#name, clusterId: this.#id, manifests: this.#directory }
    return startExporter(exported, this.etcd)
  }

  static async start(name: string, id: number, manifests: Readonly<Record<string, string>>): Promise<ExportedCluster> {
    const directory = await mkdtemp(join(tmpdir(), `weft-interop-${process.pid}-`))
    for (const [file, text] of Object.entries(manifests)) await writeFile(join(directory, file), text)
    return new ExportedCluster(name, id, await EtcdProcess.start(), directory)
  }

  apply(file: string, text: string): Promise<void> {
    return replaceFile(this.#directory, file, text)
  }

  async remove(file: string): Promise<void> {
    await rm(join(this.#directory, file))
  }

  /** Another exporter takes over. */
  async restart(): Promise<void> {
    await this.#stop()
    this.#stop = this.#export()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop()
    await this.etcd[Symbol.asyncDispose]()
    await rm(this.#directory, { recursive: true, force: true })
  }
}

const node = (name: string, ip: string, podCidr: string, zone: string): string => `apiVersion: v1
kind: Node
metadata: {name: ${name}, labels: {topology.kubernetes.io/zone: ${zone}, "odd": "<a>&b"}}
spec: {podCIDR: ${podCidr}, podCIDRs: [${podCidr}]}
status: {addresses: [{type: InternalIP, address: ${ip}}]}
`

const service = (name: string, spec: string): string => `apiVersion: v1
kind: Service
metadata:
  name: ${name}
  namespace: default
  labels: {app: ${name}}
  annotations: {"service.cilium.io/global": "true"}
spec: ${spec}
`

/** Backends with conditions and zones, which weft puts in JSON fields of its own. */
export const ROLLING = `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: rolling-1, namespace: default, labels: {kubernetes.io/service-name: rolling}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}, {name: dns, port: 53, protocol: UDP}]
endpoints:
- {addresses: [10.1.1.61], conditions: {ready: true}, zone: eu-1a, nodeName: east-worker}
- {addresses: [10.1.1.62], conditions: {ready: false, serving: true, terminating: true}, zone: eu-1b}
- {addresses: [10.1.1.63], conditions: {ready: false}, zone: eu-1b}
`

/** Cluster east (id 2): what has caused trouble between releases is in it, each under a service of its own. */
export const EAST: Readonly<Record<string, string>> = {
  'node.yaml': node('east-worker', '172.18.0.3', '10.1.1.0/24', 'eu-1a'),
  'webpod.yaml': service(
    'webpod',
    '{clusterIP: 10.3.105.173, clusterIPs: [10.3.105.173], selector: {app: webpod}, ports: [{name: http, port: 80, targetPort: 8080}, {name: web, port: 81, targetPort: 8080}]}',
  ),
  'unnamed.yaml': service(
    'unnamed',
    '{clusterIP: 10.3.0.2, clusterIPs: [10.3.0.2], selector: {app: webpod}, ports: [{port: 5432, targetPort: 8080}]}',
  ),
  'headless.yaml': service('headless', '{clusterIP: None, selector: {app: webpod}, ports: [{name: http, port: 8080}]}'),
  'empty.yaml': service('empty', '{clusterIP: 10.3.0.3, clusterIPs: [10.3.0.3], ports: [{name: http, port: 80}]}'),
  'rolling.yaml': `${service('rolling', '{clusterIP: 10.3.0.4, clusterIPs: [10.3.0.4], ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}')}---\n${ROLLING}`,
  'pods.yaml': `${pod('webpod-a', '10.1.1.41')}---\n${pod('webpod-b', '10.1.1.42')}---\n${pod('other', '10.1.1.50', 'other')}`,
}

/** Cluster west (id 1), which reads; its etcd is where kvstoremesh puts the copies. */
export const WEST: Readonly<Record<string, string>> = {
  'node.yaml': node('west-worker', '172.18.0.2', '10.0.1.0/24', 'eu-1a'),
}

/** Where kvstoremesh has to put the copy of a key of cluster `name`. */
export function cachedKey(key: string, name: string): string {
  return key
    .replace(/^cilium\/state\//, 'cilium/cache/')
    .replace(/^(cilium\/cache\/ip\/v1\/)default\//, `$1${name}/`)
    .replace(/^(cilium\/cache\/identities\/v1\/)id\//, `$1${name}/id/`)
}
