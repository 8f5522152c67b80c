import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { clusterConfigKey } from '../../agent/types/wire/keys.ts'
import { eventually } from '../eventually.ts'
import { podManifest as pod } from '../net/exporter.ts'
import { at, Kvstoremesh, Meshwatch, peerDirectory } from './cilium.ts'
import { cachedKey, EAST, ExportedCluster, ROLLING, WEST } from './clusters.ts'
import { Owned } from './owned.ts'
import { PEERS } from './setup.ts'

const SERVICES = 'cilium/state/services/v1/east/'
const NODES = 'cilium/state/nodes/v1/east/'
const IPS = 'cilium/state/ip/v1/default/'
const IDENTITIES = 'cilium/state/identities/v1/id/'
const RESOURCES = ['identities', 'ip', 'nodes', 'serviceexports', 'services']

/** The tests' own reading of what weft wrote: plain JSON, by the part of the key behind the prefix. */
type Records = ReadonlyMap<string, unknown>

function under(dump: ReadonlyMap<string, string>, prefix: string): [tail: string, text: string][] {
  return [...dump].filter(([key]) => key.startsWith(prefix)).map(([key, text]) => [key.slice(prefix.length), text])
}

function services(dump: ReadonlyMap<string, string>): Records {
  return new Map(
    under(dump, SERVICES).map(([tail, text]) => {
      const { weft: _, ...record } = JSON.parse(text) as Record<string, unknown>
      return [tail, record]
    }),
  )
}

/** Importers put their own word for where a node comes from, and do not know what weft adds. */
function nodes(dump: ReadonlyMap<string, string>): Records {
  return new Map(
    under(dump, NODES).map(([tail, text]) => {
      const { weft: _, ...node } = JSON.parse(text) as Record<string, unknown>
      return [`east/${tail}`, { ...node, Source: 'clustermesh' }]
    }),
  )
}

function ips(dump: ReadonlyMap<string, string>): Records {
  return new Map(
    under(dump, IPS).map(([tail, text]) => {
      const { ID, HostIP, K8sNamespace, K8sPodName } = JSON.parse(text) as Record<string, unknown>
      return [tail, { identity: ID, host: HostIP, namespace: K8sNamespace, pod: K8sPodName }]
    }),
  )
}

function identities(dump: ReadonlyMap<string, string>): Records {
  return new Map(under(dump, IDENTITIES).map(([tail, text]) => [tail, text.split(';').filter(Boolean).sort()]))
}

const sorted = (table: ReadonlyMap<string, unknown>): Records =>
  new Map([...table].map(([key, labels]) => [key, [...(labels as string[])].sort()]))

describe.each(PEERS)('%s reads what weft exports', (peer) => {
  let programs: string
  let east: ExportedCluster
  let owned: Owned

  beforeEach(async (context) => {
    owned = new Owned()
    programs = peerDirectory(peer, context)
    east = owned.use(await ExportedCluster.start('east', 2, EAST))
    await eventually(async () => (await east.etcd.dump('cilium/synced/east/')).size === RESOURCES.length)
  })

  afterEach(() => owned.end())

  async function mirrored(): Promise<ExportedCluster> {
    const west = owned.use(await ExportedCluster.start('west', 1, WEST))
    owned.use(await Kvstoremesh.start(programs, west.etcd.url, { east: at(east.etcd.url) }))
    await copied(west)
    return west
  }

  /** Keys and values of the copy are those of east, now. */
  async function copied(west: ExportedCluster): Promise<void> {
    await eventually(
      async () => {
        const wanted = [...(await east.etcd.dump('cilium/state/'))].map(([key, text]) => [cachedKey(key, 'east'), text])
        expect(wanted.length).toBeGreaterThan(5)
        expect(Object.fromEntries(await west.etcd.dump('cilium/cache/'))).toEqual(Object.fromEntries(wanted))
      },
      { timeoutMs: 20_000, what: 'the copy is as the original' },
    )
  }

  async function watched(url: string): Promise<Meshwatch> {
    const watch = owned.use(await Meshwatch.start(programs, { east: at(url) }))
    await watch.ready('east')
    return watch
  }

  async function sameAsWritten(watch: Meshwatch): Promise<void> {
    const dump = await east.etcd.dump('cilium/state/')
    await watch.until('all records were read', () => watch.identities.size === identities(dump).size)
    expect(watch.services).toEqual(services(dump))
    expect(watch.nodes).toEqual(nodes(dump))
    expect(watch.ips).toEqual(ips(dump))
    expect(sorted(watch.identities)).toEqual(identities(dump))
    expect(watch.complaints).toEqual([])
  }

  test("its agent takes every service, node, address and identity, and passes over weft's own fields", async () => {
    const dump = await east.etcd.dump('cilium/state/')
    expect([...services(dump).keys()].sort()).toEqual(
      ['empty', 'headless', 'rolling', 'unnamed', 'webpod'].map((name) => `default/${name}`),
    )
    expect(dump.get(`${SERVICES}default/rolling`)).toContain('"weft":{"backends":')
    expect(dump.get(`${NODES}east-worker`)).toContain('"weft":{"dsr":true}')
    expect([nodes(dump).size, ips(dump).size, identities(dump).size]).toEqual([1, 3, 2])

    const watch = await watched(east.etcd.url)
    await sameAsWritten(watch)
    expect(watch.services.get('default/rolling')).toMatchObject({
      backends: {
        '10.1.1.61': { http: { Protocol: 'TCP', Port: 8080 }, dns: { Protocol: 'UDP', Port: 53 } },
        '10.1.1.62': { http: { Protocol: 'TCP', Port: 8080 }, dns: { Protocol: 'UDP', Port: 53 } },
      },
    })
    expect(watch.services.get('default/webpod')).toMatchObject({
      backends: { '10.1.1.41': { http: { Port: 8080 }, web: { Port: 8080 } } },
    })
    expect(watch.services.get('default/unnamed')).toMatchObject({
      backends: { '10.1.1.41': { '': { Protocol: 'TCP', Port: 8080 } } },
    })
    expect(watch.cluster('east')).toMatchObject({
      'num-nodes': 1,
      'num-endpoints': 3,
      'num-identities': 2,
      'num-shared-services': 5,
      config: { 'cluster-id': 2, required: true, retrieved: true, 'sync-canaries': true },
    })
    expect(watch.cluster('east')?.['num-failures'] ?? 0).toBe(0)
  })

  test('its agent follows changes and deletions', async () => {
    const watch = await watched(east.etcd.url)
    await east.apply('pods.yaml', pod('webpod-a', '10.1.1.41'))
    await east.apply('rolling.yaml', EAST['rolling.yaml']!.replace(ROLLING, ''))
    await watch.until('both pods left', () => watch.ips.size === 1 && watch.identities.size === 1)
    await watch.until('their backends too', () => {
      const text = JSON.stringify([watch.services.get('default/webpod'), watch.services.get('default/rolling')])
      return !text.includes('10.1.1.42') && !text.includes('10.1.1.61')
    })
    await sameAsWritten(watch)

    await east.apply(
      'webpod.yaml',
      EAST['webpod.yaml']!.replace('"service.cilium.io/global"', '"service.cilium.io/no"'),
    )
    await watch.until('a service that is no longer global left', () => !watch.services.has('default/webpod'))
    await east.remove('node.yaml')
    await watch.until('the node left', () => watch.nodes.size === 0)
    await watch.until('its pod lost its host', () => JSON.stringify(watch.ips.get('10.1.1.41')).includes('"host":""'))
    expect(watch.cluster('east')?.ready).toBe(true)
    expect(watch.complaints).toEqual([])
  })

  test('its kvstoremesh copies every byte, says that it is a copy, and follows', async () => {
    const west = await mirrored()
    await eventually(async () => {
      expect([...(await west.etcd.dump('cilium/synced/east/')).keys()]).toEqual(
        RESOURCES.map((resource) => `cilium/synced/east/cilium/cache/${resource}/v1`),
      )
    })
    expect(await west.etcd.client.get(clusterConfigKey('east')).string()).toBe(
      '{"id":2,"capabilities":{"syncedCanaries":true,"cached":true,"maxConnectedClusters":255,"serviceExportsEnabled":false}}',
    )
    const before = await west.etcd.dump('cilium/cache/')
    await east.apply('pods.yaml', pod('webpod-c', '10.1.1.43'))
    await east.remove('headless.yaml')
    await eventually(async () => (await east.etcd.dump(IPS)).has(`${IPS}10.1.1.43`))
    await eventually(async () => !(await east.etcd.dump(SERVICES)).has(`${SERVICES}default/headless`))
    await copied(west)
    expect(await west.etcd.dump('cilium/cache/')).not.toEqual(before)
  })

  test("its agent reads weft's records out of its kvstoremesh's copy", async () => {
    const west = await mirrored()
    const watch = await watched(west.etcd.url)
    await sameAsWritten(watch)
    expect(watch.cluster('east')?.config).toMatchObject({ 'cluster-id': 2, kvstoremesh: true })
  })

  test('a restart of the exporter takes nothing away from its agent', async () => {
    const watch = await watched(east.etcd.url)
    await watch.until('all backends are there', () => watch.services.size === 5 && watch.ips.size === 3)
    let fewest = Infinity
    const counting = watch.until('a record written by the successor was read', () => {
      fewest = Math.min(fewest, watch.services.size + watch.ips.size)
      return watch.ips.has('10.1.1.77')
    })
    await east.restart()
    await east.apply('late.yaml', pod('late', '10.1.1.77'))
    await counting
    expect(fewest).toBeGreaterThanOrEqual(8)
    expect(watch.complaints).toEqual([])
  })
})
