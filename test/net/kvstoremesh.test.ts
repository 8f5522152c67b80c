import { afterEach, beforeEach, expect, test } from 'vitest'
import { canaryKey, clusterConfigKey, resourcePrefix, WIRE_RESOURCES } from '../../agent/types/wire/keys.ts'
import { eventually } from '../eventually.ts'
import { SteppedClock } from '../stepped-clock.ts'
import { EtcdProcess } from './etcd.ts'
import { announceExporter, bytes, Kvstoremesh, watchEvents } from './kvstoremesh-fixture.ts'
import { EAST_IDENTITY, EAST_IP, EAST_NODE, EAST_SERVICE, exportEast } from './mesh-fixture.ts'

/** The way each resource's keys change: what is under the first prefix in east is under the second one in west. */
const PREFIXES = WIRE_RESOURCES.map(
  (resource) => [resourcePrefix(resource, 'east', false), resourcePrefix(resource, 'east', true)] as const,
)
const IP = 'cilium/state/ip/v1/default/'
const CACHED_IP = 'cilium/cache/ip/v1/east/'

let east: EtcdProcess
let west: EtcdProcess
let mesh: Kvstoremesh
let stops: (() => void)[]

beforeEach(async () => {
  stops = []
  ;[east, west] = await Promise.all([EtcdProcess.start(), EtcdProcess.start()])
  mesh = await Kvstoremesh.create(west)
  await mesh.connect('east', east.url)
})

afterEach(async () => {
  for (const stop of stops) stop()
  await mesh[Symbol.asyncDispose]()
  await Promise.all([east[Symbol.asyncDispose](), west[Symbol.asyncDispose]()])
})

/** What the copy is to be, made from what east holds now. */
async function truth(): Promise<Map<string, string>> {
  const wanted = new Map<string, string>()
  for (const [from, to] of PREFIXES) {
    for (const [key, value] of await bytes(east, from)) wanted.set(to + key.slice(from.length), value)
  }
  return wanted
}

async function equalsTruth(): Promise<void> {
  await eventually(async () => expect(await bytes(west, 'cilium/cache/')).toEqual(await truth()), {
    timeoutMs: 20_000,
    what: 'the copy',
  })
}

const canaries = WIRE_RESOURCES.map((resource) => canaryKey(resource, 'east', true))

async function present(keys: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const key of keys) if ((await west.client.get(key).string()) !== null) found.push(key)
  return found
}

test('records are copied byte for byte under the cache keys, cluster-config says that it is a copy', async () => {
  await announceExporter(east, 'east', 2)
  await exportEast(east)
  const unknown = '{"cluster":"east", "namespace":"default","name":"later","shared":true,"fromTheFuture":{"a":[1, 2]} }'
  await east.put('cilium/state/services/v1/east/default/later', unknown)
  await east.client.put(`${IP}garbage`).value(Buffer.from([0, 255, 254, 10, 192, 128, 0]))
  await east.put(`${IP}empty`, '')
  await east.put('cilium/state/serviceexports/v1/east/default/webpod', '{"cluster":"east"}')
  await east.put('cilium/state/services/v1/east2/default/other', 'of another cluster')
  mesh.start()
  await mesh.ready()

  const copy = await bytes(west, 'cilium/cache/')
  expect(copy).toEqual(await truth())
  expect(copy).toEqual(
    new Map([
      ['cilium/cache/identities/v1/east/id/137204', EAST_IDENTITY],
      ['cilium/cache/ip/v1/east/10.1.1.41', EAST_IP],
      ['cilium/cache/ip/v1/east/empty', ''],
      ['cilium/cache/ip/v1/east/garbage', '\x00\xff\xfe\n\xc0\x80\x00'],
      ['cilium/cache/nodes/v1/east/east-worker', EAST_NODE],
      ['cilium/cache/serviceexports/v1/east/default/webpod', '{"cluster":"east"}'],
      ['cilium/cache/services/v1/east/default/later', unknown],
      ['cilium/cache/services/v1/east/default/webpod', EAST_SERVICE],
    ]),
  )
  expect(await west.client.get(clusterConfigKey('east')).string()).toBe(
    '{"id":2,"capabilities":{"syncedCanaries":true,"cached":true,"maxConnectedClusters":255,"serviceExportsEnabled":false},"link":{"connected":true}}',
  )
  expect(await present(canaries)).toEqual(canaries)
  const { kvs } = await west.client.kv.range({ key: Buffer.from([0]), range_end: Buffer.from([0]) })
  expect(kvs.filter(({ lease }) => lease === '0').map(({ key }) => key.toString())).toEqual([])

  await east.put(`${IP}10.1.1.42`, 'new')
  await east.put(`${IP}empty`, 'no more')
  await east.client.delete().key(`${IP}garbage`)
  await equalsTruth()
  expect(await present([`${CACHED_IP}garbage`])).toEqual([])
})

test('many keys: at most 1000 on a lease, each canary after all of its resource', async () => {
  await announceExporter(east, 'east', 2, false)
  for (let i = 0; i < 3000; i += 100) {
    const success = Array.from({ length: 100 }, (_, j) => ({
      request_put: { key: Buffer.from(`${IP}10.1.${(i + j) >> 8}.${(i + j) & 255}`), value: Buffer.from(`${i + j}`) },
    }))
    await east.client.kv.txn({ success })
  }
  const seen = await watchEvents(west, 'cilium/')
  stops.push(() => seen.close())
  mesh.start()
  await eventually(() => seen.events.includes(`put ${clusterConfigKey('east')}`))
  // The source is not complete: nothing is read yet, and nobody is told otherwise.
  expect(seen.events.filter((event) => event.includes('/cache/'))).toEqual([])
  expect((await mesh.get('/readyz')).code).toBe(500)
  for (const resource of WIRE_RESOURCES) await east.put(canaryKey(resource, 'east'), 'now')
  await mesh.ready()
  await equalsTruth()
  await eventually(() => seen.events.includes(`put ${canaryKey('endpoints', 'east', true)}`))
  const order = seen.events.indexOf(`put ${canaryKey('endpoints', 'east', true)}`)
  expect(seen.events.findLastIndex((event) => event.startsWith(`put ${CACHED_IP}`))).toBeLessThan(order)

  const perLease = new Map<string, number>()
  const { kvs } = await west.client.kv.range({ key: Buffer.from([0]), range_end: Buffer.from([0]) })
  for (const { lease } of kvs) perLease.set(lease, (perLease.get(lease) ?? 0) + 1)
  expect(Math.max(...perLease.values())).toBe(1000)
  expect(perLease.size).toBe(4)
})

test('a restart deletes what went meanwhile and nothing else, and takes no word back', async () => {
  await announceExporter(east, 'east', 2)
  await exportEast(east)
  for (let i = 0; i < 300; i++) await east.put(`${IP}10.1.2.${i}`, `${i}`)
  mesh.start()
  await mesh.ready()
  await mesh.stop()

  const seen = await watchEvents(west, 'cilium/')
  stops.push(() => seen.close())
  await east.client.delete().key(`${IP}10.1.2.7`)
  await east.put(`${IP}10.1.2.8`, 'changed')
  await east.put(`${IP}10.1.3.1`, 'new')
  mesh.start()
  await mesh.ready()
  await equalsTruth()
  await eventually(() => seen.events.length >= 3)
  expect([...seen.events].sort()).toEqual([
    `delete ${CACHED_IP}10.1.2.7`,
    `put ${CACHED_IP}10.1.2.8`,
    `put ${CACHED_IP}10.1.3.1`,
  ])
})

test('a restart while the source is being filled deletes nothing before it is complete', async () => {
  await announceExporter(east, 'east', 2)
  await exportEast(east)
  mesh.start()
  await mesh.ready()
  await mesh.stop()
  const before = await bytes(west, 'cilium/')

  await east.kill()
  await east.wipe()
  await east.launch()
  await announceExporter(east, 'east', 2, false)
  const seen = await watchEvents(west, 'cilium/')
  stops.push(() => seen.close())
  mesh.start()
  await eventually(async () => {
    const status = JSON.parse((await mesh.get('/v1/status')).body) as { clusterMesh: { clusters: object[] } }
    expect(status.clusterMesh.clusters).toMatchObject([{ name: 'east', connected: true, ready: false }])
  })
  expect(seen.events).toEqual([])
  expect(await bytes(west, 'cilium/')).toEqual(before)
  await east.put(`${IP}10.1.1.41`, EAST_IP)
  for (const resource of WIRE_RESOURCES) await east.put(canaryKey(resource, 'east'), 'now')
  await equalsTruth()
  expect((await bytes(west, 'cilium/cache/')).size).toBe(1)
  expect(seen.events).not.toContain(`delete ${CACHED_IP}10.1.1.41`)
})

test('the remote etcd dies: the copy stays, and is set right when it is back', async () => {
  await announceExporter(east, 'east', 2)
  await exportEast(east)
  mesh.start()
  await mesh.ready()
  const before = await bytes(west, 'cilium/')
  await east.kill()
  await eventually(async () => {
    const status = JSON.parse((await mesh.get('/v1/status')).body) as {
      clusterMesh: { clusters: { 'num-failures': number }[] }
    }
    expect(status.clusterMesh.clusters).toMatchObject([{ name: 'east', connected: false }])
    expect(status.clusterMesh.clusters[0]?.['num-failures']).toBeGreaterThanOrEqual(2)
  })
  expect(await bytes(west, 'cilium/')).toEqual(before)
  expect((await mesh.get('/readyz')).code).toBe(200)
  await east.launch()
  await east.client.delete().key(`${IP}10.1.1.41`)
  await east.put(`${IP}10.1.1.43`, 'after the crash')
  await equalsTruth()
})

test('the own etcd loses everything: the copy is written again, canaries last', async () => {
  await announceExporter(east, 'east', 2)
  await exportEast(east)
  mesh.start()
  await mesh.ready()
  await west.kill()
  await west.wipe()
  await west.launch()
  const seen = await watchEvents(west, 'cilium/')
  stops.push(() => seen.close())
  await equalsTruth()
  await eventually(async () => expect(await present(canaries)).toEqual(canaries), { timeoutMs: 20_000 })
  expect(await present([clusterConfigKey('east')])).toHaveLength(1)
  const first = seen.events.findIndex((event) => event.startsWith('put cilium/synced/'))
  if (first >= 0) expect(seen.events.slice(first).filter((event) => event.includes('put cilium/cache/'))).toEqual([])
})

test('a removed cluster goes in order: cluster-config, three minutes, canaries, records', async () => {
  const clock = new SteppedClock()
  await announceExporter(east, 'east', 2)
  await exportEast(east)
  mesh.start({ clock })
  await mesh.ready()
  const seen = await watchEvents(west, 'cilium/')
  stops.push(() => seen.close())
  await mesh.disconnect('east')
  await eventually(() => {
    clock.step(100) // the directory is looked at, and a file must be gone for a while
    return seen.events.length > 0
  })
  expect(seen.events).toEqual([`delete ${clusterConfigKey('east')}`])
  const size = (await bytes(west, 'cilium/cache/')).size
  expect(size).toBe(4)
  await eventually(() => clock.next !== undefined)
  for (let waited = 0; waited < 175_000; waited += 1000) clock.step(1000)
  await mesh.get('/readyz')
  expect(seen.events).toHaveLength(1)
  expect((await bytes(west, 'cilium/cache/')).size).toBe(size)
  await eventually(async () => {
    clock.step(1000)
    expect(await bytes(west, 'cilium/')).toEqual(new Map())
  })
  await eventually(() => seen.events.length === 10)
  const kinds = seen.events.map((event) => event.split('/')[1])
  expect(kinds).toEqual(['cluster-config', ...Array<string>(5).fill('synced'), ...Array<string>(4).fill('cache')])
})

test('a cluster that comes back before its copy went keeps it', async () => {
  await announceExporter(east, 'east', 2)
  await exportEast(east)
  mesh.start()
  await mesh.ready()
  const seen = await watchEvents(west, 'cilium/')
  stops.push(() => seen.close())
  await mesh.disconnect('east')
  await eventually(() => seen.events.includes(`delete ${clusterConfigKey('east')}`))
  await mesh.connect('east', east.url)
  await eventually(() => seen.events.includes(`put ${clusterConfigKey('east')}`))
  await east.put(`${IP}10.1.1.44`, 'after')
  await equalsTruth()
  expect(seen.events).toEqual([
    `delete ${clusterConfigKey('east')}`,
    `put ${clusterConfigKey('east')}`,
    `put ${CACHED_IP}10.1.1.44`,
  ])
})

test('a copy whose cluster was removed while nobody ran goes as well; a file that cannot be used removes nothing', async () => {
  await announceExporter(east, 'east', 2)
  await exportEast(east)
  mesh.start()
  await mesh.ready()
  await mesh.stop()
  await mesh.connect('east', 'not a url')
  const seen = await watchEvents(west, 'cilium/')
  stops.push(() => seen.close())
  mesh.start()
  await mesh.ready()
  expect(await mesh.get('/v1/status')).toMatchObject({ body: expect.stringContaining('mesh-config-refused') as string })
  await mesh.stop()
  expect(seen.events).toEqual([])
  await mesh.disconnect('east')
  mesh.start()
  await eventually(() => seen.events.includes(`delete ${clusterConfigKey('east')}`))
  expect((await bytes(west, 'cilium/cache/')).size).toBe(4)
})

test('another cluster of the same name: nobody takes the old copy for the new one', async () => {
  await announceExporter(east, 'east', 2)
  await exportEast(east)
  mesh.start()
  await mesh.ready()
  const seen = await watchEvents(west, 'cilium/')
  stops.push(() => seen.close())
  await east.kill()
  await east.wipe()
  await east.launch()
  await announceExporter(east, 'east', 3, false)
  await eventually(() => seen.events.includes(`put ${clusterConfigKey('east')}`), { timeoutMs: 20_000 })
  // Whoever finds the new id finds no canary of the old copy. (Meanwhile readers may be told that the cluster is silent.)
  await eventually(async () => expect(await west.client.get(clusterConfigKey('east')).string()).toContain('"id":3'))
  // What is watched may come after the answer to what was asked.
  await eventually(() => {
    const deleted = seen.events.filter((event) => event.startsWith('delete '))
    expect(deleted.sort()).toEqual(canaries.map((key) => `delete ${key}`).sort())
  })
  expect(await present(canaries)).toEqual([])
  await east.put(`${IP}10.1.1.50`, 'of the new one')
  for (const resource of WIRE_RESOURCES) await east.put(canaryKey(resource, 'east'), 'now')
  await eventually(async () => expect(await present(canaries)).toEqual(canaries))
  await equalsTruth()
})

test('cluster-config is restored when somebody else changes or deletes it', async () => {
  await announceExporter(east, 'east', 2)
  mesh.start()
  await mesh.ready()
  const right = await west.client.get(clusterConfigKey('east')).string()
  await west.client.delete().key(clusterConfigKey('east'))
  await eventually(async () => expect(await west.client.get(clusterConfigKey('east')).string()).toBe(right))
  await west.put(clusterConfigKey('east'), '{"id":9}')
  await eventually(async () => expect(await west.client.get(clusterConfigKey('east')).string()).toBe(right))
})

test('sources without canaries, without service exports, or that are copies themselves', async () => {
  await east.put(
    clusterConfigKey('east'),
    '{"id":2,"capabilities":{"syncedCanaries":true,"cached":true,"maxConnectedClusters":255}}',
  )
  await east.put(`${CACHED_IP}10.1.1.41`, EAST_IP)
  await east.put(`${IP}10.9.9.9`, 'of the cluster that holds the copy')
  for (const resource of WIRE_RESOURCES.filter((each) => each !== 'serviceexports')) {
    await east.put(canaryKey(resource, 'east', true), 'now')
  }
  await east.put(clusterConfigKey('old'), '{"id":7,"capabilities":{}}')
  await east.put('cilium/state/nodes/v1/old/worker', 'a node')
  await mesh.connect('old', east.url)
  mesh.start()
  await mesh.ready()
  const copy = await bytes(west, 'cilium/cache/')
  expect(copy.get(`${CACHED_IP}10.1.1.41`)).toBe(EAST_IP)
  expect(copy.has(`${CACHED_IP}10.9.9.9`)).toBe(false)
  expect(copy.get('cilium/cache/nodes/v1/old/worker')).toBe('a node')
  const all = [...canaries, ...WIRE_RESOURCES.map((resource) => canaryKey(resource, 'old', true))]
  expect(await present(all)).toEqual(all)
  expect(await west.client.get(clusterConfigKey('old')).string()).toBe(
    '{"id":7,"capabilities":{"syncedCanaries":true,"cached":true},"link":{"connected":true}}',
  )
})
