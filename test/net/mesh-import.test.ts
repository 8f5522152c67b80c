import { afterEach, beforeEach, expect, test } from 'vitest'
import { formatAddress } from '../../agent/types/address.ts'
import { canaryKey } from '../../agent/types/wire/keys.ts'
import { EtcdProcess } from './etcd.ts'
import { announceEast, EAST_SERVICE, exportEast, West } from './mesh-fixture.ts'

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

test('what another exporter wrote becomes rows', async () => {
  await announceEast(etcd)
  await exportEast(etcd)
  await west.connect('east', etcd)
  await west.start()
  expect(west.sync.closed()).toContain('mesh/east')
  await west.ready('east')

  const set = west.tables.backends.get('east/default/webpod')
  expect(set?.endpoints.map(({ address, ports, condition }) => [formatAddress(address), ports, condition])).toEqual([
    ['10.1.0.190', [{ name: 'http', protocol: 6, port: 8080 }], 'ready'],
    ['10.1.1.41', [{ name: 'http', protocol: 6, port: 8080 }], 'ready'],
  ])
  const node = west.tables.nodes.get('east/east-worker')
  expect(node && formatAddress(node.address)).toBe('172.18.0.3')
  expect(node?.zone).toBe('eu-1a')
  expect(west.tables.ips.get('east/10.1.1.41/32')?.identity).toBe(137204)
  expect(west.tables.identities.get('137204')?.labels).toContain('k8s:app=webpod')
  expect(west.tables.clusters.get('east')).toMatchObject({
    id: 2,
    unreachable: false,
    failures: 0,
    synced: { nodes: true, services: true, endpoints: true, identities: true },
    config: { syncedCanaries: true, cached: false, serviceExports: 'disabled' },
  })
  expect(west.tables.clusters.get('east')?.etcdClusterId).toMatch(/^[0-9a-f]+$/)
  expect(west.sync.closed()).toEqual([])
})
