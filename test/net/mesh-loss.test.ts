import { afterEach, beforeEach, expect, test } from 'vitest'
import { EtcdProcess } from './etcd.ts'
import { HEARTBEAT_KEY } from '../../agent/types/wire/keys.ts'
import { announceEast, EAST_NODE, exportEast, West } from './mesh-fixture.ts'
import { Witness } from './mesh-witness.ts'
import { TcpProxy } from './tcp-proxy.ts'
import { clusterFile, TestPki } from './tls-fixture.ts'

const SILENT = /connected, but nothing comes from there/
const UNREACHABLE = /10\.1\.1\.41:8080\/TCP +east +no .* cluster-unreachable\n/

let etcd: EtcdProcess
let west: West
let witness: Witness

beforeEach(async () => {
  etcd = await EtcdProcess.start()
  west = await West.create()
  witness = new Witness(west)
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
  return [
    [...backends.values()].filter(({ cluster }) => cluster === 'east').length,
    nodes.size,
    ips.size,
    identities.size,
  ]
}

test('an etcd that hangs: unreachable after the time set, nothing deleted, back when it answers', async () => {
  await west.connect('east', etcd)
  await west.start({ unreachableAfterMs: 1500, cacheTtlMs: 60_000 })
  await west.ready('east')
  const stopped = performance.now()
  etcd.signal('SIGSTOP')
  await west.until('east is unreachable', () => east()?.unreachable === true)
  expect(performance.now() - stopped).toBeGreaterThan(1000)
  expect(rows()).toEqual([1, 1, 1, 1])
  expect(witness.explained(SILENT)).toMatch(UNREACHABLE)
  expect(witness.losses).toBe('unreachable=1')
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
  expect(witness.explained(/ECONNREFUSED|connection to etcd lost/)).toMatch(UNREACHABLE)
  await west.until('the backends are given up', () => rows()[0] === 0)
  expect(rows()).toEqual([0, 1, 1, 1])
  // Nothing of east is listed any more; the reason is.
  expect(witness.explained(/ECONNREFUSED|connection to etcd lost/)).toContain('no backends of it are known any more')
  expect(witness.losses).toMatch(/^etcd-lost=1, (etcd-unavailable=\d+, )?expired=1, unreachable=1$/)
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
  expect(witness.explained(SILENT)).toMatch(UNREACHABLE)
  expect(witness.losses).toBe('unreachable=1')
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
  witness.explained(/connection to etcd lost/)
  expect(witness.losses).toMatch(/^etcd-lost=\d+/)
})

test('an exporter that is dead behind an etcd that lives: avoided, then removed, and back with its heartbeat', async () => {
  await west.connect('east', etcd)
  await west.start({ unreachableAfterMs: 1000, cacheTtlMs: 4000, heartbeatStaleMs: 1500 })
  await west.ready('east')
  await west.until('east is unreachable', () => east()?.unreachable === true)
  expect(rows()).toEqual([1, 1, 1, 1])
  await west.until('the loss was counted, with the reason', () => (east()?.failures ?? 0) > 0)
  await west.until('the reason is told', () => /the exporter is dead/.test(east()?.message ?? ''))
  expect(witness.explained(/the exporter is dead/)).toMatch(UNREACHABLE)
  expect(witness.losses).toMatch(/^heartbeat-stale=1, unreachable=1$/)
  await west.until('the backends are given up', () => rows()[0] === 0)
  await west.until('it waits for the heartbeat', () => east()?.state === 'syncing')
  expect(rows()).toEqual([0, 1, 1, 1])
  await etcd.put(HEARTBEAT_KEY, new Date().toISOString())
  await west.until('east is back', () => east()?.unreachable === false)
  expect(rows()).toEqual([1, 1, 1, 1])
})

test('a link that flaps: left once, rejoined once', async () => {
  await using proxy = await TcpProxy.start(etcd.url)
  await west.configure('east', `endpoints: ["${proxy.url}"]`)
  // On a lease, so that the store is known again and only what is new is read.
  await announceEast(etcd, { leased: true })
  await west.start({ unreachableAfterMs: 1000, cacheTtlMs: 60_000, holdDownMs: 3000 })
  await west.ready('east')
  const seen: boolean[] = []
  let writes = 0
  west.writer.subscribe(({ table }) => {
    const now = east()?.unreachable ?? false
    if (table === 'clusters' && now !== (seen.at(-1) ?? false)) seen.push(now)
    if (table !== 'clusters') writes++
  })
  proxy.mute(true)
  await west.until('east is unreachable', () => east()?.unreachable === true)
  for (let i = 0; i < 4; i++) {
    proxy.mute(false)
    proxy.cut()
    await west.until('it lost its session', () => east()?.state !== 'ready')
    await west.ready('east')
    proxy.mute(true)
    proxy.cut()
    await west.until('the link went again', () => east()?.state === 'disconnected')
  }
  expect(seen).toEqual([true])
  proxy.mute(false)
  proxy.cut()
  await west.until('east is back', () => east()?.unreachable === false)
  expect(seen).toEqual([true, false])
  expect(writes).toBe(0)
})

test('a half-open connection, from which the other side has gone without a word, is given up', async () => {
  await using proxy = await TcpProxy.start(etcd.url)
  await west.configure('east', `endpoints: ["${proxy.url}"]`)
  await west.start({ unreachableAfterMs: 1000, cacheTtlMs: 60_000 })
  await west.ready('east')
  // Nothing is reset: the client's socket stays open while the server behind it is gone.
  proxy.mute(true)
  await etcd.kill()
  await west.until('east is unreachable', () => east()?.unreachable === true)
  await west.until('the session is given up', () => (east()?.failures ?? 0) > 0, 30_000)
  expect(witness.explained(/etcd has sent nothing for 15 s/)).toMatch(UNREACHABLE)
  expect(witness.losses).toBe('etcd-silent=1, unreachable=1')
  expect(rows()).toEqual([1, 1, 1, 1])
  await etcd.launch()
  proxy.mute(false)
  proxy.cut()
  await west.until('east is back', () => east()?.unreachable === false)
}, 60_000)

test('compacted while away: what is gone is removed after the new list, nothing before it', async () => {
  await using proxy = await TcpProxy.start(etcd.url)
  await west.configure('east', `endpoints: ["${proxy.url}"]`)
  // On a lease, so that the store is known again and is read on from where it was left.
  await announceEast(etcd, { leased: true })
  await west.start({ unreachableAfterMs: 1000, cacheTtlMs: 60_000 })
  await west.ready('east')
  proxy.mute(true)
  await west.until('east is unreachable', () => east()?.unreachable === true)
  await etcd.client.delete().prefix('cilium/state/nodes/')
  const { header } = await etcd.client.put('cilium/state/nodes/v1/south/filler').value('1')
  await etcd.client.kv.compact({ revision: header.revision, physical: true })
  expect(rows()).toEqual([1, 1, 1, 1])
  proxy.mute(false)
  proxy.cut()
  await west.until('east is back', () => east()?.unreachable === false)
  expect(rows()).toEqual([1, 0, 1, 1])
  expect(witness.explained(SILENT)).toMatch(UNREACHABLE)
  expect(witness.losses).toMatch(/compacted=1.*unreachable=1/)
})

test('a name that is no longer known: backends stay, the reason is told, and it is found again', async () => {
  await west.connect('east', etcd)
  await west.start({ unreachableAfterMs: 1000, cacheTtlMs: 60_000 })
  await west.ready('east')
  await west.configure('east', `endpoints: ["http://nowhere.invalid:2379"]`)
  await west.until('east is unreachable', () => east()?.unreachable === true)
  await west.until('the reason is told', () => /nowhere|resol/i.test(east()?.message ?? ''))
  expect(witness.explained(/nowhere|resol/i)).toMatch(UNREACHABLE)
  expect(witness.losses).toMatch(/etcd-unavailable=\d+, unreachable=1/)
  expect(rows()).toEqual([1, 1, 1, 1])
  await west.connect('east', etcd)
  await west.until('east is back', () => east()?.unreachable === false)
})

test.each([
  ['a snapshot older than what was read', false],
  ['a revision that went backwards in a store that is known', true],
])('%s is taken for what it is, and nothing goes before its list', async (_what, leased) => {
  await using proxy = await TcpProxy.start(etcd.url)
  await west.configure('east', `endpoints: ["${proxy.url}"]`)
  await announceEast(etcd, { leased })
  await etcd.snapshot()
  await etcd.put('cilium/state/nodes/v1/east/east-late', EAST_NODE.replace('east-worker', 'east-late'))
  await west.start({ unreachableAfterMs: 1000, cacheTtlMs: 60_000 })
  await west.ready('east')
  expect(rows()).toEqual([1, 2, 1, 1])
  proxy.mute(true)
  proxy.cut()
  await etcd.kill()
  await etcd.restore()
  await etcd.launch()
  expect(rows()).toEqual([1, 2, 1, 1])
  proxy.mute(false)
  proxy.cut()
  await west.until('what came after the snapshot is gone', () => west.tables.nodes.size === 1)
  await west.ready('east')
  expect(rows()).toEqual([1, 1, 1, 1])
  witness.explained(leased ? /etcd went back from revision \d+ to \d+/ : /connection to etcd lost/)
  expect(witness.losses).toMatch(
    leased ? /etcd-lost=\d+, etcd-rewound=1$|etcd-lost=\d+, etcd-rewound=1,/ : /etcd-lost=\d+/,
  )
})

test('a certificate that expires: told by name, backends stay, and all is well with a new one', async () => {
  const DAY_MS = 86_400_000
  const from = new Date(Date.now() - 10 * DAY_MS)
  await using pki = await TestPki.create('east CA', from)
  await using secure = await pki.startEtcd('east')
  await announceEast(secure)
  await exportEast(secure)
  await west.configure('east', clusterFile(secure.url, await pki.issue({ kind: 'remote' })))
  await west.start({ unreachableAfterMs: 1000, cacheTtlMs: 60_000, credentials: { lookMs: 50, rotateWithinMs: 100 } })
  await west.ready('east')
  await secure.kill()
  await pki.issue({ kind: 'remote' }, { from, lifetimeMs: 5 * DAY_MS })
  await secure.launch()
  await west.until('east is unreachable', () => east()?.unreachable === true)
  await west.until('the reason is told', () => /refuses our client certificate/.test(east()?.message ?? ''))
  expect(witness.explained(/it refuses our client certificate/)).toMatch(UNREACHABLE)
  expect(witness.losses).toMatch(/etcd-tls-refused=\d+.*unreachable=1/)
  const problems = [...west.tables.problems.values()].flatMap((set) => set.problems.map(({ code }) => code))
  expect(problems).toContain('mesh-certificate-expired')
  expect(rows()).toEqual([1, 1, 1, 1])
  await pki.issue({ kind: 'remote' })
  await west.until('east is back', () => east()?.unreachable === false)
})
