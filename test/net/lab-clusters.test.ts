import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import { explained } from '../lab/service-view.ts'
import { podIps, podNames } from '../lab/story/webpod.ts'
import type { ClusterSpec } from '../lab/topology.ts'
import { ClustersLab, service } from './lab-clusters-fixture.ts'

const UP_TIMEOUT_MS = 120_000
const CASE_TIMEOUT_MS = 60_000

const shared = (yes: boolean): string => `service.cilium.io/shared=${String(yes)}`
const affinity = (value: string): string => `service.cilium.io/affinity=${value}`

describe('three clusters', { timeout: CASE_TIMEOUT_MS }, () => {
  const mesh = new ClustersLab(`three-${String(process.pid)}`, 3)
  const [west, east, north] = mesh.clusters as [ClusterSpec, ClusterSpec, ClusterSpec]
  const west1 = west.nodes[0]!.name

  /** Why backends of a service are used or not, on a cluster's first node: of all, or of one cluster's. */
  const reasons = async (on: ClusterSpec, name: string, of?: string): Promise<string[]> => {
    const { frontends } = await explained(mesh.lab.paths, on.nodes[0]!.name, name)
    const backends = frontends.flatMap((frontend) => frontend.backends)
    return [
      ...new Set(backends.filter(({ cluster }) => of === undefined || cluster === of).map(({ reason }) => reason)),
    ]
  }

  beforeAll(() => mesh.up(), UP_TIMEOUT_MS)
  afterAll(() => mesh.down())

  test('a global service is balanced over the clusters that have it', async () => {
    await mesh.apply(west, service('some'))
    await mesh.apply(north, service('some'))
    for (const cluster of [west, north]) {
      await mesh.settled(cluster, 'default/some', podIps(west, north))
      expect(await mesh.answering(cluster, 'some')).toEqual(podNames(west, north))
    }
    expect(await reasons(east, 'default/some')).toEqual(['no-local-service'])
    await mesh.apply(east, service('some'))
    await mesh.settled(west, 'default/some', podIps(west, east, north))
    expect(await mesh.answering(east, 'some')).toEqual(podNames(west, east, north))
  })

  test.each([
    ['local', [west]],
    ['remote', [east, north]],
    ['none', [west, east, north]],
  ])('affinity %s', async (value, answering) => {
    await mesh.annotate(west, 'service/webpod', affinity(value))
    await mesh.settled(west, 'default/webpod', podIps(...answering))
    expect(await mesh.answering(west, 'webpod')).toEqual(podNames(...answering))
    // It is the wish of one cluster, for its own clients.
    expect(await mesh.answering(north, 'webpod')).toEqual(podNames(west, east, north))
  })

  test('ports are matched by name; another name is explained, another number is none of it', async () => {
    await mesh.apply(west, service('ports', { ports: [{ name: 'http', port: 80 }] }))
    await mesh.apply(east, service('ports', { ports: [{ name: 'web', port: 80 }] }))
    await mesh.apply(north, service('ports', { ports: [{ name: 'http', port: 8080, targetPort: 80 }] }))
    await mesh.settled(west, 'default/ports', podIps(west, north))
    expect(await mesh.answering(west, 'ports')).toEqual(podNames(west, north))
    expect(await mesh.answering(north, 'ports:8080')).toEqual(podNames(west, north))
    await eventually(async () => expect(await reasons(west, 'default/ports', 'east')).toEqual(['port-name-mismatch']))
    const text = await mesh.lab.exec(west1, ['weft', 'explain', 'service', 'default/ports'])
    for (const ip of podIps(east)) expect(text).toMatch(new RegExp(`${ip}:80.*port-name-mismatch`))
  })

  test('a headless global service balances nothing, and is one backend set more where it has an address', async () => {
    await mesh.apply(west, service('headless'))
    await mesh.apply(east, service('headless', { headless: true }))
    await mesh.apply(north, service('headless', { headless: true }))
    await mesh.settled(west, 'default/headless', podIps(west, east, north))
    expect(await mesh.answering(west, 'headless')).toEqual(podNames(west, east, north))
    await mesh.apply(west, service('headless', { headless: true }))
    const listed = (name: string): Promise<string> => mesh.lab.exec(name, ['weft', 'service', 'list', '-o', 'json'])
    await eventually(async () => expect(await listed(west1)).not.toContain('"headless"'))
    expect(await listed(east.nodes[0]!.name)).not.toContain('"headless"')
  })

  test('sharing is switched under load, and no request is lost', async () => {
    const requests = mesh.requests(west, 'webpod')
    await mesh.settled(west, 'default/webpod', podIps(west, east, north))
    for (let round = 0; round < 2; round++) {
      await mesh.annotate(east, 'service/webpod', shared(false))
      await mesh.settled(west, 'default/webpod', podIps(west, north))
      await mesh.annotate(north, 'service/webpod', shared(false))
      await mesh.settled(west, 'default/webpod', podIps(west))
      await requests.more(20)
      await mesh.annotate(east, 'service/webpod', shared(true))
      await mesh.annotate(north, 'service/webpod', shared(true))
      await mesh.settled(west, 'default/webpod', podIps(west, east, north))
      await requests.more(20)
    }
    expect(await requests.stop()).toEqual(['200'])
  })

  test('without its annotation a service is its own cluster, and nobody else sees its pods', async () => {
    await mesh.annotate(west, 'service/webpod', 'service.cilium.io/global-')
    await mesh.settled(west, 'default/webpod', podIps(west))
    await mesh.settled(north, 'default/webpod', podIps(east, north))
    expect(await mesh.answering(west, 'webpod')).toEqual(podNames(west))
    expect(await mesh.answering(north, 'webpod')).toEqual(podNames(east, north))
    await mesh.annotate(west, 'service/webpod', 'service.cilium.io/global=true')
    await mesh.settled(west, 'default/webpod', podIps(west, east, north))
    await mesh.settled(north, 'default/webpod', podIps(west, east, north))
  })

  /** Each cluster has `twin` twice: of its first node's pod in one namespace, of the other's in the other. */
  const twins = (cluster: ClusterSpec): { ours: string; theirs: string; objects: object[] } => {
    const [ours = '', theirs = ''] = cluster.pods.filter((pod) => pod.serves).map((pod) => pod.ip)
    return { ours, theirs, objects: service('twin', { endpoints: [ours] }) }
  }
  const shop = (cluster: ClusterSpec): object[] => [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    ...service('twin', { namespace: 'shop', endpoints: [twins(cluster).theirs] }),
    ...service('cart', { namespace: 'shop', endpoints: [twins(cluster).theirs] }),
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'shop-1', namespace: 'shop', labels: { app: 'shop' } },
      spec: { nodeName: cluster.nodes[1]!.name, containers: [{ name: 'shop', image: 'shop' }] },
      status: { phase: 'Running', podIP: shopIp(cluster), conditions: [{ type: 'Ready', status: 'True' }] },
    },
  ]
  const shopIp = (cluster: ClusterSpec): string => cluster.nodes[1]!.podCidr.replace(/0\/24$/, '250')
  const ipcache = (): Promise<string> => mesh.lab.exec(west1, ['weft', 'bpf', 'ipcache', 'list'])

  test('the same name in two namespaces is two services; a deleted namespace takes all it had along', async () => {
    const all = [west, east, north]
    for (const cluster of all) await mesh.apply(cluster, [...twins(cluster).objects, ...shop(cluster)])
    const ours = all.map((cluster) => twins(cluster).ours)
    const theirs = (clusters: readonly ClusterSpec[]): string[] => clusters.map((cluster) => twins(cluster).theirs)
    await mesh.settled(west, 'default/twin', ours)
    for (const name of ['shop/twin', 'shop/cart']) await mesh.settled(west, name, theirs(all))
    const names = (ips: readonly string[]): string[] =>
      all.flatMap(({ pods }) => pods.filter((pod) => ips.includes(pod.ip)).map((pod) => pod.name)).sort()
    expect(await mesh.answering(west, 'twin')).toEqual(names(ours))
    expect(await mesh.answering(west, 'twin.shop')).toEqual(names(theirs(all)))
    await eventually(async () => expect(await ipcache()).toContain(`${shopIp(east)}/32`))

    await mesh.delete(east, shop(east))
    for (const name of ['shop/twin', 'shop/cart']) await mesh.settled(west, name, theirs([west, north]))
    await mesh.settled(west, 'default/twin', ours)
    await eventually(async () => expect(await ipcache()).not.toContain(`${shopIp(east)}/32`))
    expect(await mesh.answering(west, 'twin')).toEqual(names(ours))
    expect(await mesh.answering(west, 'twin.shop')).toEqual(names(theirs([west, north])))

    const address = (await mesh.lab.exec('west/curl-pod', ['getent', 'hosts', 'twin.shop'])).split(' ')[0] ?? ''
    await mesh.delete(west, shop(west))
    await eventually(async () => {
      for (const name of ['shop/twin', 'shop/cart']) expect(await reasons(west, name)).toEqual(['no-local-service'])
      expect(await mesh.lab.exec(west1, ['weft', 'bpf', 'lb', 'list'])).not.toContain(address)
    })
    expect(await mesh.curlStatus(west, address)).not.toBe(0)
    expect(await mesh.answering(west, 'twin')).toEqual(names(ours))
    await mesh.settled(north, 'shop/twin', theirs([north]))
  })
})

describe('five clusters', { timeout: CASE_TIMEOUT_MS }, () => {
  const mesh = new ClustersLab(`five-${String(process.pid)}`, 5)
  const [west, , , , central] = mesh.clusters as [ClusterSpec, ClusterSpec, ClusterSpec, ClusterSpec, ClusterSpec]

  beforeAll(() => mesh.up('--set', 'unreachableAfter=4s'), UP_TIMEOUT_MS)
  afterAll(() => mesh.down())

  test('the pods of all answer through one ClusterIP, and go on when the etcd of one is killed', async () => {
    const pods = podNames(...mesh.clusters)
    for (const cluster of [west, central]) {
      await mesh.settled(cluster, 'default/webpod', podIps(...mesh.clusters))
      expect(await mesh.answering(cluster, 'webpod', 200)).toEqual(pods)
    }
    const requests = mesh.requests(west, 'webpod')
    await requests.more(20)
    await mesh.lab.run(['kill', '--of', 'etcd', 'central-control-plane'])
    const status = `lab exec west-control-plane -- weft status -o json || true`
    await eventually(async () => (await mesh.shell(status)).includes('cluster-unreachable'), { timeoutMs: 20_000 })
    await requests.more(50)
    expect(await requests.stop()).toEqual(['200'])
    expect(await mesh.answering(west, 'webpod', 200)).toEqual(pods)
  })
})

describe('three clusters with kvstoremesh', { timeout: CASE_TIMEOUT_MS }, () => {
  const mesh = new ClustersLab(`copies-${String(process.pid)}`, 3)

  beforeAll(() => mesh.up('--kvstoremesh'), UP_TIMEOUT_MS)
  afterAll(() => mesh.down())

  test('traffic reaches all, over one connection of each cluster to each other etcd', async () => {
    for (const cluster of mesh.clusters) {
      await mesh.settled(cluster, 'default/webpod', podIps(...mesh.clusters))
      expect(await mesh.answering(cluster, 'webpod')).toEqual(podNames(...mesh.clusters))
      expect(await connections(cluster)).toEqual(oneOfEachOther(cluster))
    }
  })

  test('nothing is lost when a kvstoremesh is killed and comes back, and it has one connection again', async () => {
    const [west, ...others] = mesh.clusters as [ClusterSpec, ...ClusterSpec[]]
    const requests = mesh.requests(west, 'webpod')
    await requests.more(10)
    await mesh.lab.run(['kill', '--of', 'kvstoremesh', west.nodes[0]!.name])
    for (const cluster of others)
      await eventually(async () => expect(await connections(cluster)).not.toContain(west.nodes[0]!.ip))
    await requests.more(10)
    expect(await mesh.answering(west, 'webpod')).toEqual(podNames(...mesh.clusters))
    await mesh.lab.run(['start', '--of', 'kvstoremesh', west.nodes[0]!.name])
    for (const cluster of others)
      await eventually(async () => expect(await connections(cluster)).toEqual(oneOfEachOther(cluster)))
    await requests.more(10)
    expect(await requests.stop()).toEqual(['200'])
    // What changes from now on comes through the new one.
    await mesh.annotate(others[0]!, 'service/webpod', shared(false))
    await mesh.settled(west, 'default/webpod', podIps(west, ...others.slice(1)))
  })

  /** Where a kvstoremesh runs, in every cluster but one. */
  const oneOfEachOther = (cluster: ClusterSpec): string[] =>
    mesh.clusters.filter((other) => other !== cluster).map((other) => other.nodes[0]!.ip)

  /** The nodes of other clusters that are connected to the cluster's etcd, one for each connection. */
  async function connections(cluster: ClusterSpec): Promise<string[]> {
    const list = ['ss', '-tnH', 'state', 'established', 'sport', '=', ':2379']
    const lines = (await mesh.lab.exec(cluster.nodes[0]!.name, list)).trim().split('\n')
    const peers = lines.map((line) => line.trim().split(/\s+/).at(-1)?.replace(/:\d+$/, '') ?? '')
    const others = mesh.clusters.filter((other) => other !== cluster).flatMap((other) => other.nodes)
    return others.flatMap((node) => peers.filter((peer) => peer === node.ip))
  }
})
