import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { clusterMeshReport } from '../../agent/api/clustermesh.ts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { formatAddress } from '../../agent/types/address.ts'
import { canaryKey, clusterConfigKey } from '../../agent/types/wire/keys.ts'
import { EtcdProcess } from './etcd.ts'
import { announceEast, EAST_IDENTITY, EAST_IP, EAST_NODE, EAST_SERVICE, exportEast, West } from './mesh-fixture.ts'

const SERVICE_KEY = 'cilium/state/services/v1/east/default/webpod'
const ROW = 'east/default/webpod'

let etcd: EtcdProcess
let west: West

beforeEach(async () => {
  etcd = await EtcdProcess.start()
  west = await West.create()
})

afterEach(async () => {
  await west[Symbol.asyncDispose]()
  await etcd[Symbol.asyncDispose]()
})

const east = () => west.tables.clusters.get('east')
const backends = (): number => west.tables.backends.get(ROW)?.endpoints.length ?? 0
const problems = (): string[] => [...west.tables.problems.values()].flatMap((set) => set.problems.map((p) => p.message))
const rows = (): number[] => {
  const { backends, nodes, ips, identities } = west.tables
  return [backends.size, nodes.size, ips.size, identities.size]
}

async function importEast(): Promise<void> {
  await announceEast(etcd)
  await exportEast(etcd)
  await west.connect('east', etcd)
  await west.start()
  await west.ready('east')
}

test('what another exporter wrote becomes rows', async () => {
  await announceEast(etcd)
  await exportEast(etcd)
  await west.connect('east', etcd)
  await west.start()
  expect(west.sync.closed()).toContain('mesh/east')
  await west.ready('east')

  const set = west.tables.backends.get(ROW)
  expect(set?.endpoints.map(({ address, ports, condition }) => [formatAddress(address), ports, condition])).toEqual([
    ['10.1.0.190', [{ name: 'http', protocol: 6, port: 8080 }], 'ready'],
    ['10.1.1.41', [{ name: 'http', protocol: 6, port: 8080 }], 'ready'],
  ])
  const node = west.tables.nodes.get('east/east-worker')
  expect(node && formatAddress(node.address)).toBe('172.18.0.3')
  expect(node?.zone).toBe('eu-1a')
  expect(west.tables.ips.get('east/10.1.1.41/32')?.identity).toBe(137204)
  expect(west.tables.identities.get('137204')?.labels).toContain('k8s:app=webpod')
  expect(east()).toMatchObject({
    id: 2,
    unreachable: false,
    failures: 0,
    synced: { nodes: true, services: true, endpoints: true, identities: true },
    config: { syncedCanaries: true, cached: false, serviceExports: 'disabled' },
  })
  expect(east()?.etcdClusterId).toMatch(/^[0-9a-f]+$/)
  expect(west.sync.closed()).toEqual([])
})

test('changes and deletions follow', async () => {
  await importEast()
  await etcd.put(SERVICE_KEY, EAST_SERVICE.replace(/"10\.1\.0\.190":\{"http":\{[^}]*\}\},/, ''))
  await west.until('one backend is left', () => backends() === 1)
  await etcd.client.delete().key(SERVICE_KEY)
  await west.until('the service left', () => !west.tables.backends.get(ROW))
  await etcd.client.delete().prefix('cilium/state/')
  await west.until('everything left', () => rows().every((count) => count === 0))
  expect(east()?.state).toBe('ready')
})

test('a service that is announced and not shared is known as such, and counted nowhere', async () => {
  await importEast()
  const shared = (): number | undefined => clusterMeshReport(west.tables, 'west').clusters[0]?.['num-shared-services']
  expect([west.tables.backends.get(ROW)?.shared, shared()]).toEqual([undefined, 1])
  await etcd.put(SERVICE_KEY, EAST_SERVICE.replace('"shared":true', '"shared":false'))
  await west.until('that is known', () => west.tables.backends.get(ROW)?.shared === false)
  expect([problems(), shared()]).toEqual([[], 0])
  await etcd.put(SERVICE_KEY, EAST_SERVICE)
  await west.until('it is shared again', () => west.tables.backends.get(ROW)?.shared === undefined)
})

test('a copy made by kvstoremesh is read from its own keys', async () => {
  await announceEast(etcd, { canaries: false })
  await etcd.put(clusterConfigKey('east'), '{"id":2,"capabilities":{"syncedCanaries":true,"cached":true}}')
  for (const resource of ['nodes', 'services', 'endpoints', 'identities'] as const) {
    await etcd.put(canaryKey(resource, 'east', true), 'now')
  }
  await etcd.put('cilium/cache/services/v1/east/default/webpod', EAST_SERVICE)
  await etcd.put('cilium/cache/nodes/v1/east/east-worker', EAST_NODE)
  await etcd.put('cilium/cache/ip/v1/east/10.1.1.41', EAST_IP)
  await etcd.put('cilium/cache/identities/v1/east/id/137204', EAST_IDENTITY)
  await west.connect('east', etcd)
  await west.start()
  await west.ready('east')
  expect(rows()).toEqual([1, 1, 1, 1])
  expect(east()?.config?.cached).toBe(true)
})

describe('bad records', () => {
  test('are refused one by one; the last good version and all others stay', async () => {
    await importEast()
    await etcd.put(SERVICE_KEY, '{"cluster":')
    await etcd.put('cilium/state/services/v1/east/default/liar', EAST_SERVICE)
    await etcd.put('cilium/state/nodes/v1/east/east-worker', EAST_NODE.replace('"Cluster":"east"', '"Cluster":"south"'))
    await etcd.put('cilium/state/ip/v1/default/10.1.1.42', EAST_IP)
    await etcd.put('cilium/state/ip/v1/default/10.1.1.43', EAST_IP.replace('1.41', '1.43').replace('137204', '48291'))
    await etcd.put('cilium/state/identities/v1/id/48291', EAST_IDENTITY)
    await etcd.put('cilium/state/identities/v1/id/137205', EAST_IDENTITY.replace('cluster=east', 'cluster=west'))
    await west.until('all seven are refused', () => problems().length === 7)
    expect(problems().join('\n')).toContain(`${SERVICE_KEY} is not JSON`)
    expect(problems().join('\n')).toContain('names cluster "south" instead of "east"')
    expect(rows()).toEqual([1, 1, 1, 1])
    expect(backends()).toBe(2)

    await etcd.put(SERVICE_KEY, EAST_SERVICE)
    await west.until('the corrected one is accepted', () => problems().length === 6)
    await etcd.client.delete().prefix('cilium/state/')
    await west.until('no problem is left', () => problems().length === 0)
    expect(rows()).toEqual([0, 0, 0, 0])
  })

  test('host of a peer is a remote node to us', async () => {
    await importEast()
    await etcd.put('cilium/state/ip/v1/default/10.1.1.1', EAST_IP.replace('1.41', '1.1').replace('137204', '1'))
    await west.until('the address is there', () => west.tables.ips.get('east/10.1.1.1/32')?.identity === 6)
  })
})

describe('canaries', () => {
  test('a prefix is read only after its canary', async () => {
    await announceEast(etcd, { canaries: false })
    await exportEast(etcd)
    await west.connect('east', etcd)
    await west.start()
    await west.until('connected', () => east()?.state === 'syncing')
    await etcd.put(canaryKey('nodes', 'east'), 'now')
    await west.until('nodes are synced', () => east()?.synced.nodes === true)
    expect(rows()).toEqual([0, 1, 0, 0])
    expect(west.sync.isOpen('mesh/east')).toBe(false)
    for (const resource of ['services', 'endpoints', 'identities'] as const) {
      await etcd.put(canaryKey(resource, 'east'), 'now')
    }
    await west.ready('east')
    expect(rows()).toEqual([1, 1, 1, 1])
  })

  test('an etcd that came back empty under the same id takes nothing away before them', async () => {
    await importEast()
    await etcd.kill()
    await etcd.wipe()
    await etcd.launch()
    await west.until('the loss was noticed', () => east()?.state !== 'ready')
    await announceEast(etcd, { canaries: false })
    await west.until('connected again', () => east()?.state === 'syncing')
    await etcd.put('cilium/state/nodes/v1/east/east-worker', EAST_NODE)
    await etcd.put(canaryKey('nodes', 'east'), 'now')
    expect(rows()).toEqual([1, 1, 1, 1])
    for (const resource of ['services', 'endpoints', 'identities'] as const) {
      await etcd.put(canaryKey(resource, 'east'), 'now')
    }
    await west.ready('east')
    await west.until('what was not listed is gone', () => rows().join() === '0,1,0,0')
  })
})

describe('who the peer says it is', () => {
  test.each([
    [0, 'cluster-id-invalid'],
    [1, 'cluster-id-in-use'],
    [256, 'cluster-id-invalid'],
  ])('id %i is refused', async (id, code) => {
    await announceEast(etcd, { id })
    await exportEast(etcd)
    await west.connect('east', etcd)
    await west.start()
    await west.until('the problem is shown', () =>
      [...west.tables.problems.values()].some((set) => set.problems.some((problem) => problem.code === code)),
    )
    expect(rows()).toEqual([0, 0, 0, 0])
    await announceEast(etcd)
    await west.ready('east')
    expect(problems()).toEqual([])
  })

  test('an id that another cluster has is refused; the other works on', async () => {
    await importEast()
    await using other = await EtcdProcess.start()
    await other.put(clusterConfigKey('south'), '{"id":2,"capabilities":{}}')
    await west.connect('south', other)
    await west.until('south is refused', () => problems().some((text) => text.includes('which cluster east has')))
    expect(east()?.state).toBe('ready')
    await other.put(clusterConfigKey('south'), '{"id":3,"capabilities":{}}')
    await west.ready('south')
  })

  test('another id drains what was of the old one', async () => {
    await importEast()
    await announceEast(etcd, { id: 3 })
    await west.until('the new id is known', () => east()?.id === 3 && east()?.state === 'ready')
    expect(rows()).toEqual([0, 0, 0, 0])
    expect(problems()).toHaveLength(4)
  })

  test('garbage is refused and nothing is deleted', async () => {
    await importEast()
    await etcd.put(clusterConfigKey('east'), 'garbage')
    await west.until('the problem is shown', () => problems().some((text) => text.includes('is not JSON')))
    expect(rows()).toEqual([1, 1, 1, 1])
    await announceEast(etcd)
    await west.ready('east')
    expect(problems()).toEqual([])
  })
})

describe('the configuration directory', () => {
  test('a file that is gone drains its cluster; stopping does not', async () => {
    await importEast()
    await west.stop()
    expect(rows()).toEqual([1, 1, 1, 1])
    expect(east()).toBeDefined()
    await west.start()
    await west.ready('east')
    await west.disconnect('east')
    await west.until('the cluster is gone', () => east() === undefined)
    expect(rows()).toEqual([0, 0, 0, 0])
    expect(west.sync.closed()).toEqual([])
    expect(west.sync.isOpen('mesh/east')).toBe(false)
    await west.connect('east', etcd)
    await west.ready('east')
    expect(rows()).toEqual([1, 1, 1, 1])
  })

  test('a broken file is a problem and the last good one stays in use', async () => {
    await importEast()
    await west.configure('east', 'endpoints:\n- [not\n')
    await west.until('the problem is shown', () => problems().some((text) => /east:\d+: .*stays in use/.test(text)))
    await west.configure('north', 'endpoints: nowhere')
    await west.until('the other one too', () => problems().some((text) => text.includes('north')))
    await west.configure('Bad_Name', `endpoints: ["${etcd.url}"]`)
    await west.until('the name is refused', () => problems().some((text) => text.includes('is not a cluster name')))
    await writeFile(join(west.directory, 'ca.crt'), 'no cluster')
    await west.configure('west', `endpoints: ["${etcd.url}"]`)
    await etcd.client.delete().key(SERVICE_KEY)
    await west.until('changes still arrive', () => !west.tables.backends.get(ROW))
    expect([...west.tables.clusters.values()].map(({ name }) => name)).toEqual(['east'])
    await west.connect('east', etcd)
    await rm(join(west.directory, 'north'))
    await rm(join(west.directory, 'Bad_Name'))
    await west.until('no problem is left', () => problems().length === 0)
  })

  test('an etcd that is down at start delays only its own cluster', async () => {
    await etcd.kill()
    await using other = await EtcdProcess.start()
    await other.put(clusterConfigKey('south'), '{"id":3,"capabilities":{}}')
    await west.connect('east', etcd)
    await west.connect('south', other)
    await west.start()
    await west.ready('south')
    expect(west.sync.closed()).toEqual(['mesh/east'])
    await west.until('failures are counted', () => (east()?.failures ?? 0) > 0)
    expect(east()?.message).not.toBe('')
    await etcd.launch()
    await announceEast(etcd)
    await west.ready('east')
  })
})
