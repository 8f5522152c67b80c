import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { clusterProblems } from '../../agent/api/problems.ts'
import type { Cluster } from '../../agent/types/cluster.ts'
import { encodeClusterConfig } from '../../agent/types/wire/cluster-config.ts'
import type { ClusterLink } from '../../agent/types/wire/cluster-link.ts'
import { CACHE_HEARTBEAT_KEY, canaryKey, clusterConfigKey, HEARTBEAT_KEY } from '../../agent/types/wire/keys.ts'
import { MESH_RESOURCES } from '../../agent/types/cluster.ts'
import { eventually } from '../eventually.ts'
import { EtcdProcess } from './etcd.ts'
import { announceExporter, bytes, Kvstoremesh, watchEvents } from './kvstoremesh-fixture.ts'
import { EAST_IDENTITY, EAST_IP, EAST_NODE, EAST_SERVICE, exportEast, West } from './mesh-fixture.ts'

/** A remote cluster that is lost behind a copy: agents have a healthy etcd before them, and must know all the same. */

let local: EtcdProcess
let west: West
let stops: (() => Promise<unknown>)[]

beforeEach(async () => {
  stops = []
  local = await EtcdProcess.start()
  west = await West.create()
  await west.connect('east', local)
})

afterEach(async () => {
  await west[Symbol.asyncDispose]()
  for (const stop of stops.reverse()) await stop()
  await local[Symbol.asyncDispose]()
})

const east = (): Cluster | undefined => west.tables.clusters.get('east')
const codes = (): string[] => clusterProblems(west.tables, east()!).map(({ code }) => code)
const rows = (): number[] => {
  const { backends, nodes, ips, identities } = west.tables
  return [backends.size, nodes.size, ips.size, identities.size]
}

describe('through kvstoremesh', () => {
  let remote: EtcdProcess
  let mesh: Kvstoremesh

  beforeEach(async () => {
    remote = await EtcdProcess.start()
    stops.push(() => remote[Symbol.asyncDispose]())
    await announceExporter(remote, 'east', 2)
    await exportEast(remote)
    mesh = await Kvstoremesh.create(local)
    stops.push(() => mesh[Symbol.asyncDispose]())
    await mesh.connect('east', remote.url)
  })

  async function startMesh(options: { heartbeatStaleMs?: number } = {}): Promise<void> {
    mesh.start({ silentAfterMs: 1200, ...options })
    await mesh.ready()
  }

  const link = async (): Promise<ClusterLink & { silentSince?: string }> =>
    (JSON.parse((await local.client.get(clusterConfigKey('east')).string()) ?? '{}') as { link: ClusterLink & object })
      .link as never

  test('its etcd dies: avoided, then removed, and taken again when the copy is right; two words are all that is written', async () => {
    await startMesh()
    await west.start({ unreachableAfterMs: 2000, cacheTtlMs: 7000 })
    await west.ready('east')
    expect(east()?.copy).toEqual({ renewed: true, connected: true, silentSince: undefined, reason: '' })
    const before = await bytes(local, 'cilium/cache/')
    const seen = await watchEvents(local, 'cilium/')
    stops.push(async () => seen.close())
    const killed = Date.now()
    await remote.kill()

    await west.until('east is unreachable', () => east()?.unreachable === true)
    expect(Date.now() - killed).toBeGreaterThan(1000)
    expect(east()).toMatchObject({ state: 'ready', failures: 0, losses: { unreachable: 1 } })
    expect(east()?.message).toMatch(/^kvstoremesh hears nothing of it: .*(ECONNREFUSED|connect|lost)/)
    expect(east()?.copy?.silentSince).toBeGreaterThan(killed - 2000)
    expect(codes()).toEqual(['cluster-unreachable'])
    expect(rows()).toEqual([1, 1, 1, 1])
    const told = await mesh.get('/v1/status')
    expect(JSON.parse(told.body)).toMatchObject({ clusterMesh: { clusters: [{ unreachable: true, ready: false }] } })

    await west.until('its backends are given up', () => west.tables.backends.size === 0)
    expect(rows()).toEqual([0, 1, 1, 1])
    expect(east()?.losses).toMatchObject({ unreachable: 1, expired: 1 })
    await west.until('it waits', () => east()?.state === 'syncing')
    expect(rows()).toEqual([0, 1, 1, 1])

    await remote.launch()
    await west.until('east is back', () => east()?.unreachable === false)
    expect(rows()).toEqual([1, 1, 1, 1])
    expect(codes()).toEqual([])
    expect(east()).toMatchObject({ message: '', copy: { renewed: true, connected: true } })
    expect(new Set(seen.events)).toEqual(new Set([`put ${clusterConfigKey('east')}`]))
    expect(seen.events.length).toBeLessThanOrEqual(4) // silent, a better reason maybe, alive
    expect(await bytes(local, 'cilium/cache/')).toEqual(before)
  })

  test('its exporter dies and its etcd answers: told as well', async () => {
    await startMesh({ heartbeatStaleMs: 1500 })
    await west.start({ unreachableAfterMs: 1500, cacheTtlMs: 60_000 })
    await west.until('east is unreachable', () => east()?.unreachable === true)
    expect(east()?.message).toMatch(/heartbeat/)
    await remote.put(HEARTBEAT_KEY, new Date().toISOString())
    await west.until('east is back', () => east()?.unreachable === false)
  })

  test('kvstoremesh restarts while the cluster is lost: the silence goes on from when it began', async () => {
    await startMesh()
    await remote.kill()
    await eventually(async () => expect((await link()).silentSince).toBeDefined())
    const { silentSince } = await link()
    await mesh.stop()
    await startMesh()
    await eventually(async () => {
      const status = JSON.parse((await mesh.get('/v1/status')).body) as { clusterMesh: { clusters: object[] } }
      expect(status.clusterMesh.clusters).toMatchObject([{ unreachable: true }])
    })
    expect((await link()).silentSince).toBe(silentSince)
    await remote.launch()
    await eventually(async () => expect(await link()).toEqual({ connected: true }), { timeoutMs: 20_000 })
  })
})

describe('by what the copy says', () => {
  const say = (told: ClusterLink | undefined, id = 2): Promise<void> =>
    local.put(
      clusterConfigKey('east'),
      encodeClusterConfig({
        ...{ id, syncedCanaries: true, cached: true, maxConnectedClusters: 255, serviceExportsEnabled: false },
        link: told,
      }),
    )
  const beat = (): Promise<void> => local.put(CACHE_HEARTBEAT_KEY, new Date().toISOString())
  const silence = (forMs: number): ClusterLink => {
    const at = Date.now()
    return { connected: false, silentSince: at - forMs, at, reason: 'the cable – it is cut' }
  }
  const ALIVE: ClusterLink = { connected: true, reason: '' }

  beforeEach(async () => {
    for (const resource of MESH_RESOURCES) await local.put(canaryKey(resource, 'east', true), 'now')
    await local.put('cilium/cache/services/v1/east/default/webpod', EAST_SERVICE)
    await local.put('cilium/cache/nodes/v1/east/east-worker', EAST_NODE)
    await local.put('cilium/cache/ip/v1/east/10.1.1.41', EAST_IP)
    await local.put('cilium/cache/identities/v1/east/id/137204', EAST_IDENTITY)
    await beat()
  })

  test('an agent that starts knows how long the cluster has been silent', async () => {
    await say(silence(60_000))
    await west.start({ unreachableAfterMs: 30_000, cacheTtlMs: 300_000 })
    await west.ready('east')
    expect(east()).toMatchObject({
      unreachable: true,
      message: 'kvstoremesh hears nothing of it: the cable – it is cut',
    })
    expect(rows()).toEqual([1, 1, 1, 1])
  })

  test('an agent that starts after the cache TTL takes no backends before the cluster is back', async () => {
    await say(silence(600_000))
    await west.start({ unreachableAfterMs: 30_000, cacheTtlMs: 300_000 })
    await west.until('it waits', () => east()?.state === 'syncing' && /the cable/.test(east()?.message ?? ''))
    expect(rows()[0]).toBe(0)
    await say(ALIVE)
    await west.until('east is back', () => east()?.unreachable === false)
    expect(rows()).toEqual([1, 1, 1, 1])
    expect(east()?.message).toBe('')
  })

  test('a link that flaps: left once, and rejoined when it has stayed', async () => {
    await say(ALIVE)
    await west.start({ unreachableAfterMs: 1000, cacheTtlMs: 60_000, holdDownMs: 1500 })
    await west.ready('east')
    const seen: boolean[] = []
    let writes = 0
    west.writer.subscribe(({ table }) => {
      const now = east()?.unreachable ?? false
      if (now !== (seen.at(-1) ?? false)) seen.push(now)
      if (table !== 'clusters') writes++
    })
    for (let i = 0; i < 4; i++) {
      await say(silence(1000))
      await west.until('the silence is known', () => east()?.copy?.connected === false)
      await say(ALIVE)
      await west.until('the return is known', () => east()?.copy?.connected === true)
    }
    expect(seen).toEqual([true])
    await west.until('east is back', () => east()?.unreachable === false)
    expect([seen, writes, east()?.failures]).toEqual([[true, false], 0, 0])
  })

  test('kvstoremesh is dead: told, and nothing is left for it; it says nothing about the cluster', async () => {
    await say(ALIVE)
    await west.start({ unreachableAfterMs: 500, cacheTtlMs: 2000, heartbeatStaleMs: 1000 })
    // A ping may notice it before the timer does that ends the session.
    await west.until('a new session did not help', () => east()?.losses?.['heartbeat-stale'] === 1)
    await west.until('it is told', () => east()?.copy?.renewed === false && east()?.state === 'ready')
    const since = performance.now()
    expect(codes()).toEqual(['cluster-copy-not-renewed'])
    expect(clusterProblems(west.tables, east()!)[0]?.message).toMatch(/kvstoremesh is dead/)
    expect(east()?.losses).toEqual({ 'heartbeat-stale': 1 })
    await eventually(() => performance.now() - since > 3000) // longer than the cache TTL
    expect(east()).toMatchObject({ state: 'ready', unreachable: false })
    expect(rows()).toEqual([1, 1, 1, 1])
    await beat()
    await west.until('it is back', () => east()?.copy?.renewed === true)
    expect(codes()).toEqual([])
  })

  test('kvstoremesh dies after it said that the cluster is silent: its last word stands', async () => {
    await say(silence(1000))
    await west.start({ unreachableAfterMs: 500, cacheTtlMs: 4000, heartbeatStaleMs: 1000 })
    await west.until('both are known', () => east()?.copy?.renewed === false && east()?.unreachable === true)
    await west.until('its backends are given up', () => west.tables.backends.size === 0)
  })

  test('a copy that tells nothing of its link, as that of Cilium, is read as ever', async () => {
    await local.client.delete().key(CACHE_HEARTBEAT_KEY)
    await say(undefined)
    await west.start({ unreachableAfterMs: 500 })
    await west.ready('east')
    expect(east()?.copy).toEqual({ renewed: true, connected: undefined, silentSince: undefined, reason: '' })
    await say(ALIVE)
    await west.until('what it says counts from then on', () => east()?.copy?.connected === true)
    await say(ALIVE, 3)
    await west.until('another cluster is another cluster', () => east()?.id === 3)
    expect(east()?.failures).toBe(1)
  })
})
