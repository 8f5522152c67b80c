import type { Etcd3, ITxnRequest } from 'etcd3'
import type { Address } from '../../agent/types/address.ts'
import { formatAddress } from '../../agent/types/address.ts'
import { MESH_RESOURCES } from '../../agent/types/cluster.ts'
import { identityRange } from '../../agent/types/identity.ts'
import { cacheRoot, canaryKey, clusterConfigKey, HEARTBEAT_KEY, resourcePrefix } from '../../agent/types/wire/keys.ts'

/** What the benchmark's etcd takes in one transaction. */
export const MAX_TXN = 1000
const TXN = 500
const IN_FLIGHT = 4
const FIRST_ADDRESS = 0x0a000000
const HOST_BASE = 0xac120000
const IDENTITIES = 2000

export type Pair = readonly [key: string, value: string]

export interface Origin {
  readonly name: string
  readonly id: number
  /** As a copy held by kvstoremesh, where several clusters share an etcd. */
  readonly cached: boolean
}

/** The record of address `n` of a cluster, as its exporter writes it; `version` moves it to another identity and node. */
export function ipPair(origin: Origin, n: number, version = 0): Pair {
  const address = formatAddress((FIRST_ADDRESS + n) as Address)
  const host = formatAddress((HOST_BASE + ((n + version) % 5000)) as Address)
  const identity = identityRange(origin.id).first + 256 + ((n + version) % IDENTITIES)
  const pod = `webpod-697b545f57-${(n + 0x100000).toString(36)}`
  const value = `{"IP":"${address}","Mask":null,"HostIP":"${host}","ID":${identity},"Key":0,"Metadata":"","K8sNamespace":"default","K8sPodName":"${pod}"}`
  return [`${resourcePrefix('endpoints', origin.name, origin.cached)}${address}`, value]
}

/** The record of service `n` with `backends` endpoints. */
export function servicePair(origin: Origin, n: number, backends: number): Pair {
  const ports = '{"http":{"Protocol":"TCP","Port":8080}}'
  const list = Array.from({ length: backends }, (_, i) => {
    return `"${formatAddress((FIRST_ADDRESS + n * backends + i) as Address)}":${ports}`
  })
  const vip = formatAddress((0x0a640000 + n) as Address)
  const name = `service-${n}`
  const value = `{"cluster":"${origin.name}","namespace":"bench","name":"${name}","frontends":{"${vip}":{"http":{"Protocol":"TCP","Port":80}}},"backends":{${list.join(',')}},"hostnames":{},"labels":{"app":"${name}"},"selector":{"app":"${name}"},"includeExternal":true,"shared":true,"clusterID":${origin.id}}`
  return [`${resourcePrefix('services', origin.name, origin.cached)}bench/${name}`, value]
}

/** Again when etcd was too busy: its clients are told by then, whatever becomes of the transaction. */
async function put(client: Etcd3, transaction: ITxnRequest): Promise<void> {
  for (;;) {
    try {
      await client.kv.txn(transaction)
      return
    } catch (error) {
      if (!/timed out|too many requests/.test(String(error))) throw error
    }
  }
}

/** Puts in transactions as big as etcd takes them, a few at a time. */
export async function putAll(client: Etcd3, pairs: Iterable<Pair>): Promise<void> {
  const rest = pairs[Symbol.iterator]()
  const writer = async (): Promise<void> => {
    for (;;) {
      const success = []
      while (success.length < TXN) {
        const next = rest.next()
        if (next.done === true) break
        const [key, value] = next.value
        success.push({ request_put: { key: Buffer.from(key), value: Buffer.from(value) } })
      }
      if (success.length === 0) return
      await put(client, { success })
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, writer))
}

/** The records without which nothing is read from a cluster. */
export async function announce(client: Etcd3, origin: Origin): Promise<void> {
  const { name, id, cached } = origin
  const capabilities = `"syncedCanaries":true,"maxConnectedClusters":255,"cached":${cached}`
  const pairs: Pair[] = [
    [HEARTBEAT_KEY, new Date().toISOString()],
    [clusterConfigKey(name), `{"id":${id},"capabilities":{${capabilities}}}`],
    ...MESH_RESOURCES.map((resource): Pair => [canaryKey(resource, name, cached), 'now']),
  ]
  await putAll(client, pairs)
}

export function* ipPairs(origin: Origin, count: number): IterableIterator<Pair> {
  for (let n = 0; n < count; n++) yield ipPair(origin, n)
}

export function* servicePairs(origin: Origin, count: number, backends: number): IterableIterator<Pair> {
  for (let n = 0; n < count; n++) yield servicePair(origin, n, backends)
}

/** Start of the keys of all addresses of `origin`. */
export function ipPrefix(origin: Origin): string {
  return origin.cached ? `${cacheRoot('endpoints')}${origin.name}/` : resourcePrefix('endpoints', origin.name, false)
}
