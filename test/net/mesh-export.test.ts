import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { formatAddress } from '../../agent/types/address.ts'
import { canaryKey, clusterConfigKey, HEARTBEAT_KEY } from '../../agent/types/wire/keys.ts'
import { replaceFile } from '../replace-file.ts'
import { EtcdProcess, freePort, watchKeys } from './etcd.ts'
import { podManifest as pod, startExporter } from './exporter.ts'
import { West } from './mesh-fixture.ts'
import { TcpProxy } from './tcp-proxy.ts'

const NODE = `apiVersion: v1
kind: Node
metadata: {name: east-worker, labels: {topology.kubernetes.io/zone: eu-1a}}
spec: {podCIDR: 10.1.1.0/24, podCIDRs: [10.1.1.0/24]}
status: {addresses: [{type: InternalIP, address: 172.18.0.3}]}
`
const service = (annotations: string): string => `apiVersion: v1
kind: Service
metadata:
  name: webpod
  namespace: default
  labels: {app: webpod}
  annotations: {${annotations}}
spec:
  clusterIP: 10.3.105.173
  clusterIPs: [10.3.105.173]
  selector: {app: webpod}
  ports: [{name: http, port: 80, targetPort: 8080, protocol: TCP}]
`
const SHARED = '"service.cilium.io/global": "true"'

let etcd: EtcdProcess
let directory: string
let stops: (() => Promise<void>)[]

beforeEach(async () => {
  stops = []
  etcd = await EtcdProcess.start()
  directory = await mkdtemp(join(tmpdir(), `weft-manifests-${process.pid}-`))
  await apply('node.yaml', NODE)
  await apply('service.yaml', service(SHARED))
  await apply('pods.yaml', `${pod('webpod-a', '10.1.1.41')}---\n${pod('webpod-b', '10.1.1.42')}`)
})

afterEach(async () => {
  for (const stop of stops.reverse()) await stop()
  await etcd[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const apply = (file: string, text: string): Promise<void> => replaceFile(directory, file, text)

function startEast(options: { leaseTtlSeconds?: number; healthPort?: number } = {}): () => Promise<void> {
  const stop = startExporter({ clusterName: 'east', clusterId: 2, manifests: directory, ...options }, etcd)
  stops.push(stop)
  return stop
}

async function importInWest(): Promise<West> {
  const west = await West.create()
  stops.push(() => west[Symbol.asyncDispose]())
  await west.connect('east', etcd)
  await west.start({ unreachableAfterMs: 5000 })
  await west.ready('east')
  return west
}

test('what east exports from manifests, west imports', async () => {
  startEast()
  const west = await importInWest()
  const set = west.tables.backends.get('east/default/webpod')
  expect(set?.service).toBe('default/webpod')
  expect(set?.cluster).toBe('east')
  expect(
    set?.endpoints.map(({ address, ports, condition }) => [formatAddress(address), ports[0]?.port, condition]),
  ).toEqual([
    ['10.1.1.41', 8080, 'ready'],
    ['10.1.1.42', 8080, 'ready'],
  ])
  const node = west.tables.nodes.get('east/east-worker')
  expect(node).toMatchObject({ name: 'east-worker', zone: 'eu-1a', podCidrs: [{ bits: 24 }] })
  const ip = west.tables.ips.get('east/10.1.1.41/32')
  expect(ip).toMatchObject({ namespace: 'default', podName: 'webpod-a' })
  expect(ip && ip.hostAddress !== undefined && formatAddress(ip.hostAddress)).toBe('172.18.0.3')
  expect(west.tables.identities.get(String(ip?.identity))?.labels).toEqual([
    'k8s:app=webpod',
    'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=default',
    'k8s:io.cilium.k8s.policy.cluster=east',
    'k8s:io.cilium.k8s.policy.serviceaccount=default',
    'k8s:io.kubernetes.pod.namespace=default',
  ])
  expect(west.tables.problems.size).toBe(0)

  await apply('pods.yaml', pod('webpod-a', '10.1.1.41'))
  await west.until(
    'the second backend left',
    () => west.tables.backends.get('east/default/webpod')?.endpoints.length === 1,
  )
  await west.until('its address left', () => west.tables.ips.get('east/10.1.1.42/32') === undefined)
})

test('a service that is no longer shared is deleted, and comes back when it is', async () => {
  startEast()
  const west = await importInWest()
  const has = (): boolean => west.tables.backends.get('east/default/webpod') !== undefined
  expect(has()).toBe(true)
  await apply('service.yaml', service(`${SHARED}, "service.cilium.io/shared": "false"`))
  await west.until('webpod left', () => !has())
  await apply('service.yaml', service(SHARED))
  await west.until('webpod returned', has)
})

test('a connection that was cut is taken up where it was: nothing is listed again', async () => {
  startEast()
  await using proxy = await TcpProxy.start(etcd.url)
  const west = await West.create()
  stops.push(() => west[Symbol.asyncDispose]())
  await west.configure('east', `endpoints: ["${proxy.url}"]`)
  await west.start()
  await west.ready('east')
  const changes: string[] = []
  west.writer.subscribe(({ table, key }) => table !== 'clusters' && table !== 'problems' && changes.push(key))
  proxy.cut()
  await west.until('the cut was noticed', () => west.tables.clusters.get('east')?.state !== 'ready')
  await apply('pods.yaml', pod('webpod-a', '10.1.1.41'))
  await west.until('both changes came', () => changes.length >= 2)
  await west.ready('east')
  expect(changes.sort()).toEqual(['east/10.1.1.42/32', 'east/default/webpod'])
})

describe('canaries', () => {
  test('are written after every record of the first complete list', async () => {
    const seen = await watchKeys(etcd, 'cilium/')
    startEast()
    await seen.until((keys) => keys.some((key) => key === canaryKey('serviceexports', 'east')))
    await seen.until((keys) => keys.filter((key) => key.startsWith('cilium/synced/')).length >= 5)
    for (const [resource, prefix] of [
      ['services', 'cilium/state/services/'],
      ['nodes', 'cilium/state/nodes/'],
      ['endpoints', 'cilium/state/ip/'],
      ['identities', 'cilium/state/identities/'],
    ] as const) {
      const records = seen.keys.flatMap((key, i) => (key.startsWith(prefix) ? [i] : []))
      expect(records.length).toBeGreaterThan(0)
      expect(seen.keys.indexOf(canaryKey(resource, 'east'))).toBeGreaterThan(Math.max(...records))
    }
    seen.close()
  })

  test('readiness follows them', async () => {
    const healthPort = await freePort()
    await etcd.kill()
    startEast({ healthPort })
    const status = async (): Promise<number> => {
      const response = await fetch(`http://127.0.0.1:${healthPort}/readyz`).catch(() => undefined)
      return response?.status ?? 0
    }
    await expect.poll(status).toBe(500)
    await etcd.launch()
    await expect.poll(status, { timeout: 15_000 }).toBe(200)
    expect([...(await etcd.dump('cilium/synced/east/')).keys()]).toHaveLength(5)
  })
})

describe('cluster-config', () => {
  test('is put right when it is changed or deleted', async () => {
    startEast()
    const key = clusterConfigKey('east')
    const wanted =
      '{"id":2,"capabilities":{"syncedCanaries":true,"maxConnectedClusters":255,"serviceExportsEnabled":false}}'
    await expect.poll(() => etcd.client.get(key).string()).toBe(wanted)
    await etcd.put(key, '{"id":9}')
    await expect.poll(() => etcd.client.get(key).string()).toBe(wanted)
    await etcd.client.delete().key(key)
    await expect.poll(() => etcd.client.get(key).string()).toBe(wanted)
  })
})

describe('leases', () => {
  test('every key hangs on one, and what is lost with one is written again', async () => {
    startEast({ leaseTtlSeconds: 900 })
    await importInWest()
    const before = await etcd.client.getAll().prefix('cilium/').exec()
    expect(before.kvs.map(({ lease }) => lease)).not.toContain('0')
    for (const lease of new Set(before.kvs.map(({ lease }) => lease))) {
      await etcd.client.leaseClient.leaseRevoke({ ID: lease })
    }
    const keys = before.kvs.map(({ key }) => key.toString()).sort()
    await expect.poll(async () => [...(await etcd.dump('cilium/')).keys()].sort(), { timeout: 15_000 }).toEqual(keys)
  })

  test('an etcd that lost everything is filled again', async () => {
    startEast()
    const west = await importInWest()
    const before = await etcd.dump('cilium/state/')
    let fewest = 2
    west.writer.subscribe(() => {
      fewest = Math.min(fewest, west.tables.backends.get('east/default/webpod')?.endpoints.length ?? 0)
    })
    await etcd.kill()
    await west.until('west has noticed', () => west.tables.clusters.get('east')?.state !== 'ready')
    await etcd.wipe()
    await etcd.launch()
    await expect.poll(() => etcd.dump('cilium/state/'), { timeout: 20_000 }).toEqual(before)
    await west.ready('east')
    expect(fewest).toBe(2)
  })

  test('a successor takes over the keys of an exporter that stopped, and removes what is no longer there', async () => {
    const stop = startEast({ leaseTtlSeconds: 900 })
    await importInWest()
    await stop()
    const before = await etcd.dump('cilium/state/')
    expect(before.size).toBeGreaterThan(4)
    await rm(join(directory, 'pods.yaml'))
    startEast({ leaseTtlSeconds: 900 })
    await expect
      .poll(async () => [...(await etcd.dump('cilium/state/')).keys()], { timeout: 15_000 })
      .toEqual(['cilium/state/nodes/v1/east/east-worker', 'cilium/state/services/v1/east/default/webpod'])
    expect(await etcd.client.get(HEARTBEAT_KEY).string()).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  })
})
