import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MutableTables } from '../../agent/state/tables.ts'
import type { EtcdProcess } from './etcd.ts'
import { systemClock } from '../../agent/lib/clock.ts'
import { silentLog } from '../../agent/lib/log.ts'
import type { CredentialTiming } from '../../agent/sources/mesh/cluster-credentials.ts'
import { startMeshSource } from '../../agent/sources/mesh/index.ts'
import { SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import { MESH_RESOURCES } from '../../agent/types/cluster.ts'
import { canaryKey, clusterConfigKey, HEARTBEAT_KEY } from '../../agent/types/wire/keys.ts'
import { replaceFile } from '../replace-file.ts'

/** A mesh source of cluster west (id 1) over a configuration directory of its own. */
export class West {
  readonly tables: MutableTables = createTables()
  readonly sync = new SyncGates()
  readonly writer = new Writer(this.tables, this.sync)
  readonly directory: string
  #source: { stop(): Promise<void> } | undefined

  private constructor(directory: string) {
    this.directory = directory
  }

  static async create(): Promise<West> {
    return new West(await mkdtemp(join(tmpdir(), `weft-mesh-${process.pid}-`)))
  }

  configure(cluster: string, content: string): Promise<void> {
    return replaceFile(this.directory, cluster, content)
  }

  connect(cluster: string, etcd: EtcdProcess): Promise<void> {
    return this.configure(cluster, `endpoints:\n- ${etcd.url}\n`)
  }

  disconnect(cluster: string): Promise<void> {
    return rm(join(this.directory, cluster))
  }

  async start(
    options: {
      unreachableAfterMs?: number
      cacheTtlMs?: number
      holdDownMs?: number
      heartbeatStaleMs?: number
      credentials?: CredentialTiming
    } = {},
  ): Promise<void> {
    this.#source = await startMeshSource({
      configDir: this.directory,
      cluster: { name: 'west', id: 1 },
      writer: this.writer,
      sync: this.sync,
      clock: systemClock,
      random: Math.random,
      log: silentLog,
      holdDownMs: 100,
      ...options,
    })
  }

  async stop(): Promise<void> {
    await this.#source?.stop()
    this.#source = undefined
  }

  /** Resolves once the tables satisfy `condition`; looked at after every change. */
  async until(what: string, condition: () => boolean, timeoutMs = 20_000): Promise<void> {
    if (condition()) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        unsubscribe()
        reject(new Error(`never happened: ${what}; clusters: ${JSON.stringify([...this.tables.clusters.values()])}`))
      }, timeoutMs)
      const unsubscribe = this.writer.subscribe(() => {
        if (!condition()) return
        clearTimeout(timer)
        unsubscribe()
        resolve()
      })
    })
  }

  ready(cluster: string): Promise<void> {
    return this.until(`${cluster} is ready`, () => this.tables.clusters.get(cluster)?.state === 'ready')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** What an exporter called east (id 2) writes besides its records; on a lease if it is to be told from its successor. */
export function announceEast(
  etcd: EtcdProcess,
  options: { id?: number; canaries?: boolean; leased?: boolean } = {},
): Promise<void> {
  return announce(etcd, 'east', { id: 2, ...options })
}

export async function announce(
  etcd: EtcdProcess,
  cluster: string,
  options: { id: number; canaries?: boolean; leased?: boolean },
): Promise<void> {
  await etcd.put(HEARTBEAT_KEY, new Date().toISOString())
  const lease = options.leased === true ? (await etcd.client.leaseClient.leaseGrant({ TTL: 900 })).ID : '0'
  const config = `{"id":${options.id},"capabilities":{"syncedCanaries":true,"maxConnectedClusters":255,"serviceExportsEnabled":false}}`
  await etcd.client.kv.put({ key: Buffer.from(clusterConfigKey(cluster)), value: Buffer.from(config), lease })
  if (options.canaries === false) return
  for (const resource of MESH_RESOURCES) await etcd.put(canaryKey(resource, cluster), 'now')
}

export const EAST_SERVICE = `{"cluster":"east","namespace":"default","name":"webpod","frontends":{"10.3.105.173":{"http":{"Protocol":"TCP","Port":80}}},"backends":{"10.1.0.190":{"http":{"Protocol":"TCP","Port":8080}},"10.1.1.41":{"http":{"Protocol":"TCP","Port":8080}}},"hostnames":{},"labels":{"app":"webpod"},"selector":{"app":"webpod"},"includeExternal":true,"shared":true,"clusterID":2}`
export const EAST_NODE = `{"Name":"east-worker","Cluster":"east","IPAddresses":[{"Type":"InternalIP","IP":"172.18.0.3"},{"Type":"CiliumInternalIP","IP":"10.1.1.8"}],"IPv4AllocCIDR":{"IP":"10.1.1.0","Mask":"////AA=="},"IPv4SecondaryAllocCIDRs":null,"IPv6AllocCIDR":null,"IPv6SecondaryAllocCIDRs":null,"IPv4HealthIP":"10.1.1.77","IPv6HealthIP":"","IPv4IngressIP":"","IPv6IngressIP":"","ClusterID":2,"Source":"custom-resource","EncryptionKey":0,"Labels":{"kubernetes.io/hostname":"east-worker","topology.kubernetes.io/zone":"eu-1a"},"Annotations":null,"NodeIdentity":0,"WireguardPubKey":"","BootID":"0b9d6a2c-4c0e-4f55-9a3e-8d2f0c1e7b11"}`
export const EAST_IP = `{"IP":"10.1.1.41","Mask":null,"HostIP":"172.18.0.3","ID":137204,"Key":0,"Metadata":"","K8sNamespace":"default","K8sPodName":"webpod-697b545f57-75q89"}`
export const EAST_IDENTITY = `k8s:app=webpod;k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=default;k8s:io.cilium.k8s.policy.cluster=east;k8s:io.cilium.k8s.policy.serviceaccount=default;k8s:io.kubernetes.pod.namespace=default;`

export async function exportEast(etcd: EtcdProcess): Promise<void> {
  await etcd.put('cilium/state/services/v1/east/default/webpod', EAST_SERVICE)
  await etcd.put('cilium/state/nodes/v1/east/east-worker', EAST_NODE)
  await etcd.put('cilium/state/ip/v1/default/10.1.1.41', EAST_IP)
  await etcd.put('cilium/state/identities/v1/id/137204', EAST_IDENTITY)
}
