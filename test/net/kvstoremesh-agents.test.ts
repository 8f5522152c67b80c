import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { clusterMeshReport } from '../../agent/api/clustermesh.ts'
import { EtcdProcess } from './etcd.ts'
import { startExporter } from './exporter.ts'
import { announceExporter, connectionsTo, Kvstoremesh } from './kvstoremesh-fixture.ts'
import { exportEast, West } from './mesh-fixture.ts'

const MANIFESTS = `apiVersion: v1
kind: Node
metadata: {name: east-worker, labels: {topology.kubernetes.io/zone: eu-1a}}
spec: {podCIDR: 10.1.1.0/24, podCIDRs: [10.1.1.0/24]}
status: {addresses: [{type: InternalIP, address: 172.18.0.3}]}
---
apiVersion: v1
kind: Service
metadata: {name: webpod, namespace: default, annotations: {"service.cilium.io/global": "true"}}
spec:
  clusterIP: 10.3.105.173
  clusterIPs: [10.3.105.173]
  selector: {app: webpod}
  ports: [{name: http, port: 80, targetPort: 8080, protocol: TCP}]
---
apiVersion: v1
kind: Pod
metadata: {name: webpod-a, namespace: default, labels: {app: webpod}}
spec: {nodeName: east-worker, containers: [{name: web, image: web, ports: [{containerPort: 8080}]}]}
status:
  phase: Running
  podIP: 10.1.1.41
  podIPs: [{ip: 10.1.1.41}]
  conditions: [{type: Ready, status: "True"}]
`

let etcds: EtcdProcess[]
let stops: (() => Promise<unknown>)[]

beforeEach(() => {
  etcds = []
  stops = []
})

afterEach(async () => {
  for (const stop of stops.reverse()) await stop()
  await Promise.all(etcds.map((etcd) => etcd[Symbol.asyncDispose]()))
})

async function etcd(): Promise<EtcdProcess> {
  const started = await EtcdProcess.start()
  etcds.push(started)
  return started
}

async function startMesh(local: EtcdProcess, remotes: Readonly<Record<string, EtcdProcess>>): Promise<Kvstoremesh> {
  const mesh = await Kvstoremesh.create(local)
  stops.push(() => mesh[Symbol.asyncDispose]())
  for (const [name, remote] of Object.entries(remotes)) await mesh.connect(name, remote.url)
  mesh.start()
  await mesh.ready()
  return mesh
}

/** An agent of west that reads each of the clusters from the etcd named. */
async function agent(clusters: Readonly<Record<string, EtcdProcess>>): Promise<West> {
  const west = await West.create()
  stops.push(() => west[Symbol.asyncDispose]())
  for (const [name, from] of Object.entries(clusters)) await west.connect(name, from)
  await west.start()
  for (const name of Object.keys(clusters)) await west.ready(name)
  return west
}

function rowsOf({ tables }: West): unknown {
  const { backends, nodes, ips, identities } = tables
  return {
    backends: [...backends.values()],
    nodes: [...nodes.values()],
    ips: [...ips.values()],
    identities: [...identities.values()],
  }
}

test('what an agent reads from the copy is what it would read from the cluster', async () => {
  const [east, local] = [await etcd(), await etcd()]
  const directory = await mkdtemp(join(tmpdir(), `weft-manifests-${process.pid}-`))
  stops.push(() => rm(directory, { recursive: true, force: true }))
  await writeFile(join(directory, 'east.yaml'), MANIFESTS)
  stops.push(startExporter({ clusterName: 'east', clusterId: 2, manifests: directory }, east))
  const mesh = await startMesh(local, { east })
  const status = JSON.parse((await mesh.get('/v1/status')).body) as object
  expect(status).toMatchObject({
    ok: true,
    clusterMesh: {
      clusters: [{ name: 'east', ready: true, 'num-nodes': 1, 'num-endpoints': 1, 'num-shared-services': 1 }],
    },
  })
  const through = await agent({ east: local })
  const direct = await agent({ east })
  expect(rowsOf(through)).toEqual(rowsOf(direct))
  expect(through.tables.backends.get('east/default/webpod')?.endpoints).toHaveLength(1)
  const configOf = (west: West): unknown => clusterMeshReport(west.tables, 'west').clusters[0]?.config
  expect(configOf(direct)).toMatchObject({ 'cluster-id': 2, kvstoremesh: false })
  expect(configOf(through)).toMatchObject({ 'cluster-id': 2, kvstoremesh: true })

  await writeFile(join(directory, 'east.yaml'), MANIFESTS.replaceAll('10.1.1.41', '10.1.1.47'))
  for (const west of [through, direct]) {
    await west.until('the pod has its new address', () => west.tables.ips.get('east/10.1.1.47/32') !== undefined)
    await west.until('the old one is gone', () => west.tables.ips.get('east/10.1.1.41/32') === undefined)
    await west.until('the service has it', () =>
      JSON.stringify([...west.tables.backends.values()]).includes(String((10 << 24) | (1 << 16) | (1 << 8) | 47)),
    )
  }
  expect(rowsOf(through)).toEqual(rowsOf(direct))
})

test('three agents and two remote clusters: five connections instead of six, and each cluster has one', async () => {
  const [east, north, local] = [await etcd(), await etcd(), await etcd()]
  await announceExporter(east, 'east', 2)
  await exportEast(east)
  await announceExporter(north, 'north', 3)
  // Each etcd also talks to itself, and the test to it.
  const before = [connectionsTo(east), connectionsTo(north)]
  await startMesh(local, { east, north })
  expect([connectionsTo(east), connectionsTo(north)]).toEqual(before.map((count) => count + 1))
  const writing = connectionsTo(local)
  for (let i = 0; i < 3; i++) await agent({ east: local, north: local })
  expect(connectionsTo(local)).toBe(writing + 3)
  expect([connectionsTo(east), connectionsTo(north)]).toEqual(before.map((count) => count + 1))

  for (let i = 0; i < 3; i++) await agent({ east, north })
  expect([connectionsTo(east), connectionsTo(north)]).toEqual(before.map((count) => count + 1 + 3))
})
