import { afterEach, beforeEach, expect, test } from 'vitest'
import { EtcdProcess } from './etcd.ts'
import { announceEast, exportEast, West } from './mesh-fixture.ts'
import { TcpProxy } from './tcp-proxy.ts'

let etcd: EtcdProcess
let west: West

beforeEach(async () => {
  etcd = await EtcdProcess.start()
  west = await West.create()
  await announceEast(etcd)
  await exportEast(etcd)
})

afterEach(async () => {
  await west[Symbol.asyncDispose]()
  await etcd[Symbol.asyncDispose]()
})

const east = () => west.tables.clusters.get('east')
const rows = (): number[] => {
  const { backends, nodes, ips, identities } = west.tables
  return [backends.size, nodes.size, ips.size, identities.size]
}

test('an etcd that hangs: unreachable after the time set, nothing deleted, back when it answers', async () => {
  await west.connect('east', etcd)
  await west.start({ unreachableAfterMs: 1500, cacheTtlMs: 60_000 })
  await west.ready('east')
  const stopped = performance.now()
  etcd.signal('SIGSTOP')
  await west.until('east is unreachable', () => east()?.unreachable === true)
  expect(performance.now() - stopped).toBeGreaterThan(1000)
  expect(performance.now() - stopped).toBeLessThan(6000)
  expect(rows()).toEqual([1, 1, 1, 1])
  etcd.signal('SIGCONT')
  await west.until('east is back', () => east()?.unreachable === false && east()?.state === 'ready')
  expect(rows()).toEqual([1, 1, 1, 1])
})

test('an etcd that is gone: backends are kept until the cache TTL, the rest for ever; on return all is there', async () => {
  await west.connect('east', etcd)
  await west.start({ unreachableAfterMs: 1000, cacheTtlMs: 3000 })
  await west.ready('east')
  await etcd.kill()
  await west.until('east is unreachable', () => east()?.unreachable === true)
  expect(rows()).toEqual([1, 1, 1, 1])
  expect(east()?.message).not.toBe('')
  await west.until('the backends are given up', () => west.tables.backends.size === 0)
  expect(rows()).toEqual([0, 1, 1, 1])
  await etcd.launch()
  await west.until('east is back', () => east()?.unreachable === false)
  expect(rows()).toEqual([1, 1, 1, 1])
})

test('a network that swallows everything is a loss like any other', async () => {
  await using proxy = await TcpProxy.start(etcd.url)
  await west.configure('east', `endpoints: ["${proxy.url}"]`)
  await west.start({ unreachableAfterMs: 1000, cacheTtlMs: 60_000 })
  await west.ready('east')
  proxy.mute(true)
  await west.until('east is unreachable', () => east()?.unreachable === true)
  await etcd.client.delete().prefix('cilium/state/nodes/')
  proxy.mute(false)
  proxy.cut()
  await west.until('east is back', () => east()?.unreachable === false)
  await west.until('what was missed is known', () => west.tables.nodes.size === 0)
})

test('a short silence changes nothing', async () => {
  const changes: boolean[] = []
  await west.connect('east', etcd)
  await west.start({ unreachableAfterMs: 5000 })
  await west.ready('east')
  west.writer.subscribe(({ table }) => table === 'clusters' && changes.push(east()?.unreachable ?? true))
  await etcd.kill()
  await etcd.launch()
  await west.until('the loss was counted', () => (east()?.failures ?? 0) > 0)
  await west.ready('east')
  expect(changes).not.toContain(true)
  expect(rows()).toEqual([1, 1, 1, 1])
})

test('another store behind the same address and id, and further on, is taken for what it is', async () => {
  await using proxy = await TcpProxy.start(etcd.url)
  await announceEast(etcd, { leased: true })
  await west.configure('east', `endpoints: ["${proxy.url}"]`)
  await west.start()
  await west.ready('east')
  const id = east()?.etcdClusterId
  proxy.mute(true)
  proxy.cut()
  await etcd.kill()
  await etcd.wipe()
  await etcd.launch()
  await announceEast(etcd, { leased: true })
  for (let i = 0; i < 100; i++) await etcd.put('cilium/state/nodes/v1/south/filler', String(i))
  proxy.mute(false)
  proxy.cut()
  await west.until('only what the new store has is left', () => rows().join() === '0,0,0,0')
  await west.ready('east')
  expect(east()?.etcdClusterId).toBe(id)
})
