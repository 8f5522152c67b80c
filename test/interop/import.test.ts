import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Tables } from '../../agent/state/tables.ts'
import { formatAddress, formatCidr } from '../../agent/types/address.ts'
import { canaryKey } from '../../agent/types/wire/keys.ts'
import { PROTOCOL_NAMES } from '../../agent/types/service.ts'
import { eventually } from '../eventually.ts'
import { EtcdProcess } from '../net/etcd.ts'
import { announceExporter, Kvstoremesh as WeftKvstoremesh } from '../net/kvstoremesh-fixture.ts'
import { announceEast, EAST_IDENTITY, EAST_IP, EAST_NODE, EAST_SERVICE, exportEast, West } from '../net/mesh-fixture.ts'
import { at, Kvstoremesh, Meshwatch, peerDirectory } from './cilium.ts'
import { ExportedCluster, WEST } from './clusters.ts'
import { Owned } from './owned.ts'
import { PEERS } from './setup.ts'

const SERVICES = 'cilium/state/services/v1/east/'
const IPS = 'cilium/state/ip/v1/default/'
const IDENTITIES = 'cilium/state/identities/v1/id/'
const NODES = 'cilium/state/nodes/v1/east/'

/** A record of the service `name`; `change` edits what the 1.17 and 1.18 exporters write. */
function service(name: string, change: (text: string) => string = (text) => text): [string, string] {
  return [`${SERVICES}default/${name}`, change(EAST_SERVICE.replace('"name":"webpod"', `"name":"${name}"`))]
}

const replaceBackends = (backends: string) => (text: string) =>
  text.replace(/"backends":\{.*\},"hostnames"/, `"backends":${backends},"hostnames"`)

/** Services as exporters of several releases write them, and as they should not. */
const RECORDS: readonly [key: string, value: string][] = [
  service('plain'),
  // 1.18.0 lost the ports that have no name.
  service('lost-port', replaceBackends('{"10.1.0.190":{},"10.1.1.41":{}}')),
  service('unnamed', replaceBackends('{"10.1.0.190":{"":{"Protocol":"TCP","Port":5432}}}')),
  service(
    'two-names',
    replaceBackends('{"10.1.0.190":{"http":{"Protocol":"TCP","Port":8080},"web":{"Protocol":"TCP","Port":8080}}}'),
  ),
  service('headless', (text) => text.replace(/"frontends":\{.*\},"backends"/, '"frontends":{},"backends"')),
  service('no-backends', replaceBackends('{}')),
  service('not-shared', (text) => text.replace('"shared":true', '"shared":false')),
  // From 1.19 on: zones, and no hostnames when there are none.
  service('zones', (text) =>
    text
      .replace('"hostnames":{}', '"zones":{"10.1.1.41":{"zone":"eu-1a","forZones":[{"name":"eu-1a"}]}}')
      .replace('"shared"', '"tomorrow":{"unknown":[1,null]},"shared"'),
  ),
  service('liar', (text) => text.replace('"cluster":"east"', '"cluster":"south"')),
  service('other-id', (text) => text.replace('"clusterID":2', '"clusterID":3')),
  service('other-name', (text) => text.replace('"name":"other-name"', '"name":"someone"')),
  service('no-address', replaceBackends('{"example.com":{"http":{"Protocol":"TCP","Port":8080}}}')),
  service('no-json', () => '{"cluster":'),
  [`${IPS}10.1.1.42`, EAST_IP.replace('10.1.1.41', '10.1.1.42').replace('137204', '137205')],
  [`${IPS}10.1.1.43`, EAST_IP],
  [`${IPS}10.1.1.44`, EAST_IP.replace('10.1.1.41', '10.1.1.44').replace('137204', '48291')],
  [`${IPS}10.1.1.45`, EAST_IP.replace('10.1.1.41', '10.1.1.45').replace('137204', '1')],
  [`${IPS}10.1.9.0/24`, EAST_IP.replace('"10.1.1.41","Mask":null', '"10.1.9.0","Mask":"////AA=="')],
  [`${IDENTITIES}137205`, EAST_IDENTITY.replace('app=webpod', 'app=other')],
  [`${IDENTITIES}137206`, EAST_IDENTITY.replace('cluster=east', 'cluster=west')],
  [`${IDENTITIES}48291`, EAST_IDENTITY],
  [
    `${NODES}liar`,
    EAST_NODE.replace('"Name":"east-worker"', '"Name":"liar"').replace('"ClusterID":2', '"ClusterID":7'),
  ],
  [`${NODES}someone`, EAST_NODE],
]

/** What a reader made of the records, in words both sides can be brought to. */
interface View {
  /** `ip name/PROTOCOL/port …` by service. */
  readonly services: Readonly<Record<string, readonly string[]>>
  readonly nodes: Readonly<Record<string, string>>
  readonly ips: Readonly<Record<string, number>>
  readonly identities: Readonly<Record<string, readonly string[]>>
}

const byKey = <T>(entries: Iterable<readonly [string, T]>): Record<string, T> =>
  Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)))

function weftView({ backends, nodes, ips, identities }: Tables): View {
  return {
    services: byKey(
      // What is announced and not shared is kept by us to be shown; nobody uses it.
      [...backends.values()]
        .filter(({ shared }) => shared !== false)
        .map(({ service, endpoints }) => [
          service,
          endpoints
            .map(({ address, ports }) =>
              [formatAddress(address), ...ports.map((p) => `${p.name}/${PROTOCOL_NAMES[p.protocol]}/${p.port}`)].join(
                ' ',
              ),
            )
            .sort(),
        ]),
    ),
    nodes: byKey(
      [...nodes.values()].map((node) => [
        node.key,
        [formatAddress(node.address), ...node.podCidrs.map((cidr) => formatCidr(cidr))].join(' '),
      ]),
    ),
    ips: byKey([...ips.values()].map((ip) => [formatCidr(ip.prefix), ip.identity])),
    identities: byKey([...identities.values()].map((row) => [String(row.id), [...row.labels].sort()])),
  }
}

interface CiliumService {
  readonly backends: Readonly<Record<string, Readonly<Record<string, { Protocol: string; Port: number }>>>>
}
interface CiliumNode {
  readonly IPAddresses: readonly { readonly Type: string; readonly IP: string }[]
  readonly IPv4AllocCIDR: { readonly IP: string }
}

function ciliumView(watch: Meshwatch): View {
  return {
    services: byKey(
      [...watch.services].map(([name, value]) => [
        name,
        Object.entries((value as CiliumService).backends)
          .map(([ip, ports]) =>
            [ip, ...Object.entries(ports).map(([name, p]) => `${name}/${p.Protocol}/${p.Port}`)].join(' '),
          )
          .sort(),
      ]),
    ),
    nodes: byKey(
      [...watch.nodes].map(([name, value]) => {
        const { IPAddresses, IPv4AllocCIDR } = value as CiliumNode
        const internal = IPAddresses.find(({ Type }) => Type === 'InternalIP')
        return [name, `${internal?.IP} ${IPv4AllocCIDR.IP}/24`]
      }),
    ),
    ips: byKey(
      [...watch.ips].map(([ip, value]) => [
        ip.includes('/') ? ip : `${ip}/32`,
        (value as { identity: number }).identity,
      ]),
    ),
    identities: byKey([...watch.identities].map(([id, labels]) => [id, [...(labels as string[])].sort()])),
  }
}

describe.each(PEERS)('weft beside %s', (peer) => {
  let programs: string
  let owned: Owned
  let east: EtcdProcess

  beforeEach(async (context) => {
    owned = new Owned()
    programs = peerDirectory(peer, context)
    east = owned.use(await EtcdProcess.start())
  })

  afterEach(() => owned.end())

  async function weftReads(etcd: EtcdProcess): Promise<West> {
    const west = owned.use(await West.create())
    await west.connect('east', etcd)
    await west.start()
    return west
  }

  async function ciliumReads(etcd: EtcdProcess): Promise<Meshwatch> {
    return owned.use(await Meshwatch.start(programs, { east: at(etcd.url) }))
  }

  test('takes and refuses the same records', async () => {
    await announceEast(east)
    await exportEast(east)
    for (const [key, value] of RECORDS) await east.put(key, value)
    const [weft, cilium] = [await weftReads(east), await ciliumReads(east)]
    await Promise.all([weft.ready('east'), cilium.ready('east')])
    await cilium.until('identities were handed on', () => cilium.identities.size === 2)

    const view = weftView(weft.tables)
    expect(view).toEqual(ciliumView(cilium))
    expect(Object.keys(view.services)).toEqual(
      ['headless', 'lost-port', 'no-backends', 'plain', 'two-names', 'unnamed', 'webpod', 'zones'].map(
        (name) => `default/${name}`,
      ),
    )
    expect(view.services['default/two-names']).toEqual(['10.1.0.190 http/TCP/8080 web/TCP/8080'])
    expect(view.ips).toEqual({
      '10.1.1.41/32': 137204,
      '10.1.1.42/32': 137205,
      '10.1.1.45/32': 6,
      '10.1.9.0/24': 137204,
    })
    expect(Object.keys(view.identities)).toEqual(['137204', '137205'])

    const refused = [...weft.tables.problems.values()].flatMap((set) => set.problems).length
    expect([refused, cilium.complaints.length]).toEqual([11, 11])
    const zones = weft.tables.backends.get('east/default/zones')?.endpoints.map(({ zone }) => zone)
    expect(zones).toEqual([undefined, 'eu-1a'])
  })

  test('sees a service leave when it is no longer shared, and come back', async () => {
    await announceEast(east)
    await exportEast(east)
    const [weft, cilium] = [await weftReads(east), await ciliumReads(east)]
    await Promise.all([weft.ready('east'), cilium.ready('east')])
    const [key, shared] = service('webpod')
    for (const value of [shared.replace('"shared":true', '"shared":false'), shared]) {
      await east.put(key, value)
      const there = value === shared
      await weft.until('weft follows', () => 'default/webpod' in weftView(weft.tables).services === there)
      await cilium.until('so does Cilium', () => cilium.services.has('default/webpod') === there)
    }
  })

  test('waits for the same canaries, in whatever order they come', async () => {
    await announceEast(east, { canaries: false })
    await exportEast(east)
    const [weft, cilium] = [await weftReads(east), await ciliumReads(east)]
    const counts = (): number[][] => {
      const { backends, nodes, ips, identities } = weft.tables
      return [
        [nodes.size, identities.size, ips.size, backends.size],
        [cilium.nodes, cilium.identities, cilium.ips, cilium.services].map((table) => table.size),
      ]
    }
    await weft.until('weft is connected', () => weft.tables.clusters.get('east')?.state === 'syncing')
    await cilium.until('Cilium is connected', () => cilium.cluster('east')?.config?.['retrieved'] === true)
    expect(counts()).toEqual([
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ])
    const seen = [0, 0, 0, 0]
    for (const [index, resource] of (['nodes', 'identities', 'endpoints', 'services'] as const).entries()) {
      await east.put(canaryKey(resource, 'east'), 'now')
      seen[index] = 1
      await eventually(() => expect(counts()).toEqual([seen, seen]), {
        what: `only what has a canary, with ${resource}`,
      })
    }
    await Promise.all([weft.ready('east'), cilium.ready('east')])
  })

  test("weft reads Cilium's copy as it reads the original, and follows it", async () => {
    await announceEast(east)
    await exportEast(east)
    for (const [key, value] of RECORDS) await east.put(key, value)
    const local = owned.use(await ExportedCluster.start('west', 1, WEST))
    // Readers of the fifth kind wait for its canary although there is nothing to read.
    await east.put(canaryKey('serviceexports', 'east'), 'now')
    owned.use(await Kvstoremesh.start(programs, local.etcd.url, { east: at(east.url) }))
    await eventually(async () => (await local.etcd.dump('cilium/synced/east/')).size === 5, {
      timeoutMs: 20_000,
      what: 'kvstoremesh has written all canaries',
    })

    const [direct, copy] = [await weftReads(east), await weftReads(local.etcd)]
    await Promise.all([direct.ready('east'), copy.ready('east')])
    expect(copy.tables.clusters.get('east')?.config).toMatchObject({ cached: true, syncedCanaries: true })
    expect(weftView(copy.tables)).toEqual(weftView(direct.tables))
    for (const table of ['backends', 'nodes', 'ips', 'identities'] as const) {
      expect([...copy.tables[table].values()].length).toBe([...direct.tables[table].values()].length)
    }

    const [key, text] = service('webpod', replaceBackends('{"10.1.7.7":{"http":{"Protocol":"TCP","Port":8080}}}'))
    await east.put(key, text)
    await east.client.delete().key(`${SERVICES}default/plain`)
    await copy.until('the change came through the copy', () => {
      const [only, ...more] = copy.tables.backends.get('east/default/webpod')?.endpoints ?? []
      return only !== undefined && more.length === 0 && formatAddress(only.address) === '10.1.7.7'
    })
    await copy.until('and the deletion', () => copy.tables.backends.get('east/default/plain') === undefined)
    await direct.until('directly too', () => direct.tables.backends.get('east/default/plain') === undefined)
    expect(weftView(copy.tables)).toEqual(weftView(direct.tables))
  })

  test("Cilium's agent reads weft's copy, and what it says about its link changes nothing for it", async () => {
    await announceExporter(east, 'east', 2)
    await exportEast(east)
    const local = owned.use(await ExportedCluster.start('west', 1, WEST))
    const mesh = owned.use(await WeftKvstoremesh.create(local.etcd))
    await mesh.connect('east', east.url)
    mesh.start({ silentAfterMs: 1200 })
    await mesh.ready()
    const weft = await weftReads(local.etcd)
    await weft.ready('east')
    const cilium = await ciliumReads(local.etcd)
    await cilium.ready('east')
    expect(ciliumView(cilium)).toEqual(weftView(weft.tables))
    expect(cilium.cluster('east')?.config).toMatchObject({ 'cluster-id': 2, kvstoremesh: true, 'sync-canaries': true })

    await east.kill()
    await weft.until('the silence is told', () => weft.tables.clusters.get('east')?.copy?.silentSince !== undefined)
    const late = await ciliumReads(local.etcd)
    await late.ready('east')
    for (const each of [cilium, late]) {
      expect(ciliumView(each)).toEqual(weftView(weft.tables))
      expect([each.cluster('east')?.ready, each.cluster('east')?.['num-failures'] ?? 0, each.complaints]).toEqual([
        true,
        0,
        [],
      ])
    }
  })

  test("a restart of Cilium's kvstoremesh takes nothing away", async () => {
    await announceEast(east)
    await exportEast(east)
    const local = owned.use(await ExportedCluster.start('west', 1, WEST))
    const first = await Kvstoremesh.start(programs, local.etcd.url, { east: at(east.url) })
    owned.use(first)
    const weft = await weftReads(local.etcd)
    await weft.ready('east')
    let fewest = 2
    weft.writer.subscribe(() => {
      fewest = Math.min(fewest, weft.tables.backends.get('east/default/webpod')?.endpoints.length ?? 0)
    })
    await first[Symbol.asyncDispose]()
    await east.put(...service('late'))
    owned.use(await Kvstoremesh.start(programs, local.etcd.url, { east: at(east.url) }))
    await weft.until('its successor copies', () => weft.tables.backends.get('east/default/late') !== undefined)
    expect(fewest).toBe(2)
    expect(weft.tables.clusters.get('east')).toMatchObject({ state: 'ready', unreachable: false })
  })
})
