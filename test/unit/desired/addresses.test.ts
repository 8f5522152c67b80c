import { describe, expect, test } from 'vitest'
import type { World } from './fixture.ts'
import type { Change } from '../../../agent/state/tables.ts'
import { desiredEndpoints } from '../../../agent/desired/endpoints.ts'
import { desiredIpcache } from '../../../agent/desired/ipcache.ts'
import { PrefixTracker } from '../../../agent/desired/prefixes.ts'
import { planRoutes } from '../../../agent/desired/routes.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import { cluster, ip, ipEntry, node, pod, world } from './fixture.ts'

function mesh(): World {
  const made = world()
  made.writer.upsertNode(node('west', 'west-worker', '172.18.0.3', ['10.0.1.0/24']))
  made.writer.upsertNode(node('west', 'west-control-plane', '172.18.0.2', ['10.0.0.0/24']))
  made.writer.upsertNode(node('east', 'east-worker', '172.18.0.5', ['10.1.1.0/24']))
  return made
}

describe('ipcache', () => {
  test('own address, other nodes, pod CIDRs', () => {
    const { snap } = mesh()
    expect(desiredIpcache(snap, '172.18.0.3/32')).toMatchObject({
      identity: 1,
      isNode: true,
      tunnel: undefined,
      clusterId: 1,
    })
    expect(desiredIpcache(snap, '172.18.0.2/32')).toMatchObject({ identity: 6, isNode: true, remoteCluster: false })
    expect(desiredIpcache(snap, '172.18.0.5/32')).toMatchObject({ identity: 6, clusterId: 2, remoteCluster: true })
    expect(desiredIpcache(snap, '10.1.1.0/24')).toEqual({
      prefix: { address: ip('10.1.1.0'), bits: 24 },
      identity: 2,
      tunnel: ip('172.18.0.5'),
      clusterId: 2,
      remoteCluster: true,
      isNode: false,
      takesDsr: false,
    })
    expect(desiredIpcache(snap, '10.0.1.0/24')).toBeUndefined()
    expect(desiredIpcache(snap, '10.9.9.9/32')).toBeUndefined()
    expect(desiredIpcache(snap, 'nonsense')).toBeUndefined()
  })

  test('published addresses lead to their node, those of this node nowhere', () => {
    const { snap, writer } = mesh()
    writer.upsertIp(ipEntry('east', '10.1.1.41/32', 131075, '172.18.0.5'))
    writer.upsertIp(ipEntry('west', '10.0.1.219/32', 65540, '172.18.0.3'))
    expect(desiredIpcache(snap, '10.1.1.41/32')).toMatchObject({
      identity: 131075,
      tunnel: ip('172.18.0.5'),
      clusterId: 2,
    })
    expect(desiredIpcache(snap, '10.0.1.219/32')).toMatchObject({ identity: 65540, tunnel: undefined })
  })

  test('a pod has the identity of its labels, the same as its replicas, until another is published', () => {
    const { snap, writer } = mesh()
    const labels = { app: 'webpod' }
    writer.upsertPod(pod('a', '10.0.0.46', 'west-control-plane', { labels }))
    writer.upsertPod(pod('b', '10.0.1.219', 'west-worker', { labels }))
    writer.upsertPod(pod('c', '10.0.1.220', 'west-worker', { labels: { app: 'other' } }))
    const identity = desiredIpcache(snap, '10.0.0.46/32')?.identity ?? 0
    expect(identity).toBeGreaterThan(65536)
    expect(identity).toBeLessThan(131072)
    expect(desiredIpcache(snap, '10.0.0.46/32')).toMatchObject({ tunnel: ip('172.18.0.2') })
    expect(desiredIpcache(snap, '10.0.1.219/32')?.identity).toBe(identity)
    expect(desiredIpcache(snap, '10.0.1.220/32')?.identity).not.toBe(identity)
    writer.upsertIp(ipEntry('west', '10.0.0.46/32', 65541, '172.18.0.2'))
    expect(desiredIpcache(snap, '10.0.0.46/32')).toMatchObject({ identity: 65541, tunnel: ip('172.18.0.2') })
  })

  test('a remote cluster cannot take over an address of ours', () => {
    const { snap, writer } = mesh()
    writer.upsertIp(ipEntry('east', '172.18.0.3/32', 131075, '172.18.0.5'))
    writer.upsertIp(ipEntry('east', '10.0.0.46/32', 131075, '172.18.0.5'))
    writer.upsertPod(pod('a', '10.0.0.46', 'west-control-plane'))
    writer.upsertNode(node('east', 'thief', '172.18.0.2', []))
    expect(desiredIpcache(snap, '172.18.0.3/32')).toMatchObject({ identity: 1, clusterId: 1 })
    expect(desiredIpcache(snap, '10.0.0.46/32')).toMatchObject({ clusterId: 1, tunnel: ip('172.18.0.2') })
    expect(desiredIpcache(snap, '172.18.0.2/32')).toMatchObject({ clusterId: 1, remoteCluster: false })
  })

  test('DSR goes to nodes of the own cluster, and to others that say they take it or where it is configured', () => {
    const takers = (dsrRemoteClusters: 'advertised' | 'always' | 'never'): string[] => {
      const { snap, writer } = world({ dsrRemoteClusters })
      writer.upsertNode(node('west', 'west-control-plane', '172.18.0.2', []))
      writer.upsertNode(node('east', 'east-worker', '172.18.0.5', []))
      writer.upsertNode({ ...node('north', 'north-worker', '172.18.0.7', []), takesDsr: true })
      const all = ['172.18.0.2/32', '172.18.0.5/32', '172.18.0.7/32']
      return all.filter((prefix) => desiredIpcache(snap, prefix)?.takesDsr === true)
    }
    expect(takers('advertised')).toEqual(['172.18.0.2/32', '172.18.0.7/32'])
    expect(takers('always')).toEqual(['172.18.0.2/32', '172.18.0.5/32', '172.18.0.7/32'])
    expect(takers('never')).toEqual(['172.18.0.2/32'])
  })

  test('of one cluster, what a node or pod row says comes before what was published', () => {
    const { snap, writer } = mesh()
    writer.upsertIp(ipEntry('east', '172.18.0.5/32', 131075, '172.18.0.9'))
    writer.upsertIp(ipEntry('east', '10.1.1.0/24', 131076, '172.18.0.9'))
    writer.upsertPod(pod('a', '10.0.1.219', 'west-worker'))
    writer.upsertIp(ipEntry('west', '10.0.1.219/32', 65541, '172.18.0.2'))
    expect(desiredIpcache(snap, '172.18.0.5/32')).toMatchObject({ identity: 6, isNode: true, tunnel: undefined })
    expect(desiredIpcache(snap, '10.1.1.0/24')).toMatchObject({ identity: 131076, tunnel: ip('172.18.0.9') })
    expect(desiredIpcache(snap, '10.0.1.219/32')).toMatchObject({ identity: 65541, tunnel: undefined })
  })

  test('two remote clusters: the first by name, in either order of arrival', () => {
    for (const order of [
      ['east', 'north'],
      ['north', 'east'],
    ] as const) {
      const { snap, writer } = mesh()
      for (const name of order) writer.upsertIp(ipEntry(name, '10.7.0.1/32', name === 'east' ? 131075 : 196611))
      expect(desiredIpcache(snap, '10.7.0.1/32')).toMatchObject({ identity: 131075, clusterId: 2 })
    }
  })
})

describe('prefixes a change concerns', () => {
  function following(made: World): { of(change: () => void): string[] } {
    const tracker = new PrefixTracker()
    let seen: string[] = []
    made.writer.subscribe((change: Change) => void seen.push(...tracker.prefixesOf(made.snap, change)))
    return {
      of(change) {
        seen = []
        change()
        return seen.sort()
      },
    }
  }

  test('a node: its addresses, pod CIDRs and pods, before and after', () => {
    const made = world()
    const changes = following(made)
    made.writer.upsertPod(pod('a', '10.0.0.46', 'cp'))
    expect(changes.of(() => made.writer.upsertNode(node('west', 'cp', '172.18.0.2', ['10.0.0.0/24'])))).toEqual([
      '10.0.0.0/24',
      '10.0.0.46/32',
      '172.18.0.2/32',
    ])
    expect(changes.of(() => made.writer.upsertNode(node('west', 'cp', '172.18.0.9', [])))).toEqual([
      '10.0.0.0/24',
      '10.0.0.46/32',
      '172.18.0.2/32',
      '172.18.0.9/32',
    ])
    expect(changes.of(() => made.writer.deleteNode('west/cp'))).toEqual(['10.0.0.46/32', '172.18.0.9/32'])
  })

  test('pods and published addresses', () => {
    const made = world()
    const changes = following(made)
    expect(changes.of(() => made.writer.upsertPod(pod('a', '10.0.0.46', 'cp')))).toEqual(['10.0.0.46/32'])
    expect(changes.of(() => made.writer.upsertPod(pod('a', '10.0.0.47', 'cp')))).toEqual([
      '10.0.0.46/32',
      '10.0.0.47/32',
    ])
    expect(changes.of(() => made.writer.deletePod('default/a'))).toEqual(['10.0.0.47/32'])
    expect(changes.of(() => made.writer.upsertIp(ipEntry('east', '10.1.0.0/24', 2)))).toEqual(['10.1.0.0/24'])
    expect(changes.of(() => made.writer.deleteIp('east/10.1.0.0/24'))).toEqual(['10.1.0.0/24'])
  })

  test('a cluster: all of its prefixes when its id becomes known, else none', () => {
    const made = world()
    made.writer.upsertCluster(cluster('south', 0))
    const changes = following(made)
    made.writer.upsertNode(node('south', 's', '172.18.0.8', ['10.8.0.0/24']))
    made.writer.upsertIp(ipEntry('south', '10.8.0.1/32', 9))
    expect(changes.of(() => made.writer.upsertCluster(cluster('south', 0, { failures: 1 })))).toEqual([])
    const all = ['10.8.0.0/24', '10.8.0.1/32', '172.18.0.8/32']
    expect(changes.of(() => made.writer.upsertCluster(cluster('south', 8)))).toEqual(all)
    expect(changes.of(() => made.writer.upsertCluster(cluster('south', 8, { unreachable: true })))).toEqual([])
  })
})

test('endpoints: this node and its pods, not those in its network nor of other nodes', () => {
  const { snap, writer } = mesh()
  writer.upsertPod(pod('mine', '10.0.1.219', 'west-worker'))
  writer.upsertPod(pod('host', '172.18.0.3', 'west-worker', { hostNetwork: true }))
  writer.upsertPod(pod('thief', '172.18.0.3', 'west-worker'))
  writer.upsertPod(pod('other', '10.0.0.46', 'west-control-plane'))
  const entries = desiredEndpoints(snap)
  expect([...entries.keys()].sort()).toEqual(['10.0.1.219', '172.18.0.3'])
  expect(entries.get('172.18.0.3')).toEqual({ address: ip('172.18.0.3'), identity: 1, isHost: true })
  const { identity } = desiredIpcache(snap, '10.0.1.219/32')!
  expect(entries.get('10.0.1.219')).toEqual({ address: ip('10.0.1.219'), identity, isHost: false })
})

describe('routes', () => {
  const printed = (made: World): Record<string, string> =>
    Object.fromEntries([...planRoutes(made.snap).routes].map(([key, route]) => [key, formatAddress(route.via)]))

  test('to the pods of every other node', () => {
    expect(printed(mesh())).toEqual({ '10.0.0.0/24': '172.18.0.2', '10.1.1.0/24': '172.18.0.5' })
    expect(planRoutes(mesh().snap).problems).toEqual([])
  })

  test.each([
    ['the same prefix', '10.0.0.0/24'],
    ['one inside', '10.0.0.128/25'],
    ['one around', '10.0.0.0/16'],
    ['everything', '0.0.0.0/0'],
  ])('overlap, %s: ours stays, theirs is reported', (_, prefix) => {
    const made = mesh()
    const before = printed(made)
    made.writer.upsertNode(node('east', 'clash', '172.18.0.6', [prefix, '10.1.5.0/24']))
    expect(printed(made)).toEqual({ ...before, '10.1.5.0/24': '172.18.0.6' })
    const { problems } = planRoutes(made.snap)
    expect(problems.map((each) => each.code)).toEqual(['pod-cidr-overlap'])
    expect(problems[0]!.message).toContain('east/clash')
  })

  test('overlap with the pods of this node gets no route', () => {
    const made = mesh()
    made.writer.upsertNode(node('west', 'a-first-by-name', '172.18.0.6', ['10.0.1.0/25']))
    expect(printed(made)).not.toHaveProperty('10.0.1.0/25')
    expect(planRoutes(made.snap).problems[0]!.message).toContain('10.0.1.0/24 of node west/west-worker')
  })

  test('between two others: clusters by name', () => {
    const made = mesh()
    made.writer.upsertNode(node('north', 'n', '172.18.0.7', ['10.1.1.0/24']))
    expect(printed(made)['10.1.1.0/24']).toBe('172.18.0.5')
  })
})
