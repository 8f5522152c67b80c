import { describe, expect, test } from 'vitest'
import type { SlotBackend } from '../../../agent/types/frontend.ts'
import type { Service } from '../../../agent/types/service.ts'
import { desiredFrontends, frontendRank } from '../../../agent/desired/frontends.ts'
import { SERVICE_FLAGS as FLAG } from '../../../agent/types/service-flags.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import type { World } from './fixture.ts'
import { HTTP, WEBPOD, backendSet, cluster, endpoint, ip, service, world } from './fixture.ts'

const NODE_PORT = { ...HTTP, nodePort: 30080 }
const LOCAL = endpoint('10.0.0.46', 'ready', { nodeName: 'west-worker' })
const AWAY = endpoint('10.0.1.219', 'ready', { nodeName: 'west-control-plane' })
const EAST = endpoint('10.1.0.190')

function given(fields: Partial<Service>, lb: Parameters<typeof world>[0] = {}): World {
  const made = world(lb)
  made.writer.upsertService(service(fields))
  made.writer.upsertBackends(backendSet('west', [LOCAL, AWAY]))
  made.writer.upsertBackends(backendSet('east', [EAST]))
  return made
}

function flagNames(flags: number): string[] {
  return Object.entries(FLAG)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name)
}

const addresses = (slots: readonly SlotBackend[]): string[] => slots.map((slot) => formatAddress(slot.address))

test('a ClusterIP service is one frontend with the backends of both clusters', () => {
  const { frontends, problems } = desiredFrontends(given({}).snap, WEBPOD)
  expect(problems).toEqual([])
  expect(frontends).toHaveLength(1)
  const { group, ...rest } = frontends[0]!
  expect(rest).toEqual({
    id: '10.2.47.149:80/TCP',
    address: ip('10.2.47.149'),
    port: 80,
    protocol: 6,
    scope: 'ext',
    service: WEBPOD,
    type: 'ClusterIP',
    flags: FLAG.CLUSTER_IP,
    algorithm: 'random',
    affinitySeconds: 0,
    forwarding: 'snat',
    maglevSize: 0,
  })
  expect(group.count).toBe(3)
  expect(group.slots).toEqual([
    { address: ip('10.0.0.46'), port: 8080, protocol: 6, state: 'active', clusterId: 1, weight: 100 },
    { address: ip('10.0.1.219'), port: 8080, protocol: 6, state: 'active', clusterId: 1, weight: 100 },
    { address: ip('10.1.0.190'), port: 8080, protocol: 6, state: 'active', clusterId: 2, weight: 100 },
  ])
})

test('decisions asked for later are those the slots were made from', () => {
  const { snap, writer } = given({ mesh: { global: true, shared: true, affinity: 'local' } })
  const { group } = desiredFrontends(snap, WEBPOD).frontends[0]!
  writer.upsertBackends(backendSet('west', []))
  writer.upsertCluster(cluster('east', 2, { unreachable: true }))
  expect(group.decisions.map((each) => each.reason)).toEqual(['selected', 'selected', 'affinity-hides'])
  expect(addresses(group.slots.slice(0, group.count))).toEqual(['10.0.0.46', '10.0.1.219'])
})

test.each([
  ['headless', { clusterIPs: [] }],
  ['ExternalName', { type: 'ExternalName' as const }],
])('%s services have no frontends', (_, fields) => {
  expect(desiredFrontends(given(fields).snap, WEBPOD).frontends).toEqual([])
})

test('a service that is gone has none', () => {
  const { snap, writer } = given({})
  writer.deleteService(WEBPOD)
  expect(desiredFrontends(snap, WEBPOD)).toEqual({ frontends: [], problems: [] })
})

describe('addresses', () => {
  const full: Partial<Service> = {
    type: 'LoadBalancer',
    ports: [NODE_PORT],
    loadBalancerIPs: [ip('172.18.0.100')],
    externalIPs: [ip('192.168.7.7')],
  }

  test('every kind with its flags', () => {
    const { frontends } = desiredFrontends(given(full).snap, WEBPOD)
    expect(frontends.map((each) => [each.id, each.type, flagNames(each.flags)])).toEqual([
      ['172.18.0.100:80/TCP', 'LoadBalancer', ['LB', 'ROUTABLE']],
      ['192.168.7.7:80/TCP', 'ExternalIP', ['EXT_IP', 'ROUTABLE']],
      ['10.2.47.149:80/TCP', 'ClusterIP', ['CLUSTER_IP']],
      ['172.18.0.3:30080/TCP', 'NodePort', ['NODEPORT', 'ROUTABLE']],
      ['0.0.0.0:30080/TCP', 'NodePort', ['NODEPORT']],
      ['172.18.0.100:0/ANY', 'Wildcard', ['LB', 'WILDCARD_DROP']],
    ])
    const answering = frontends.filter((each) => each.type !== 'Wildcard')
    expect(new Set(answering.map((each) => each.group)).size).toBe(1)
  })

  test('source ranges concern load-balancer addresses, affinity all', () => {
    const sourceRanges = [{ address: ip('10.0.0.0'), bits: 8 }]
    const { frontends } = desiredFrontends(given({ ...full, sourceRanges, sessionAffinitySeconds: 60 }).snap, WEBPOD)
    for (const each of frontends) {
      if (each.type === 'Wildcard') continue
      expect((each.flags & FLAG.SRC_CHECK) !== 0).toBe(each.type === 'LoadBalancer')
      expect((each.flags & FLAG.AFFINITY) !== 0).toBe(true)
      expect(each.affinitySeconds).toBe(60)
    }
  })

  test('source ranges keep clients out instead where the policy is deny; an empty list keeps out nobody', () => {
    const flagsOf = (fields: object): number =>
      desiredFrontends(given({ ...full, sourceRangePolicy: 'deny', ...fields }).snap, WEBPOD).frontends.find(
        (each) => each.type === 'LoadBalancer',
      )!.flags
    expect(flagsOf({ sourceRanges: [{ address: ip('10.0.0.0'), bits: 8 }] }) & FLAG.SRC_DENY).toBe(FLAG.SRC_DENY)
    expect(flagsOf({}) & (FLAG.SRC_CHECK | FLAG.SRC_DENY)).toBe(0)
  })

  test('Maglev only where outside clients come in', () => {
    const { frontends } = desiredFrontends(given({ ...full, algorithm: 'maglev' }).snap, WEBPOD)
    expect(frontends.map((each) => [each.id, each.algorithm, each.maglevSize])).toEqual([
      ['172.18.0.100:80/TCP', 'maglev', 16381],
      ['192.168.7.7:80/TCP', 'maglev', 16381],
      ['10.2.47.149:80/TCP', 'random', 0],
      ['172.18.0.3:30080/TCP', 'maglev', 16381],
      ['0.0.0.0:30080/TCP', 'random', 0],
      ['172.18.0.100:0/ANY', 'random', 0],
    ])
  })

  test('Maglev sized by the backends; a service may say random all the same', () => {
    const lb = { algorithm: 'maglev', maglevSize: 'auto' } as const
    expect(desiredFrontends(given(full, lb).snap, WEBPOD).frontends[0]!.maglevSize).toBe(509)
    const random = desiredFrontends(given({ ...full, algorithm: 'random' }, lb).snap, WEBPOD)
    expect(random.frontends[0]).toMatchObject({ algorithm: 'random', maglevSize: 0 })
  })

  test('DSR only where outside clients come in, hybrid only for TCP; a service may say otherwise', () => {
    const modes = (fields: Partial<Service>, mode: 'snat' | 'dsr' | 'hybrid'): string[] =>
      desiredFrontends(given({ ...full, ...fields }, { mode }).snap, WEBPOD)
        .frontends.filter((each) => each.type !== 'Wildcard')
        .map((each) => each.forwarding)
    expect(modes({}, 'dsr')).toEqual(['dsr', 'dsr', 'snat', 'dsr', 'snat'])
    expect(modes({}, 'hybrid')).toEqual(modes({}, 'dsr'))
    expect(new Set(modes({ forwarding: 'snat' }, 'dsr'))).toEqual(new Set(['snat']))
    expect(modes({ forwarding: 'dsr' }, 'snat')).toEqual(modes({}, 'dsr'))
    const datagrams = { ports: [{ ...HTTP, protocol: 17 as const }] }
    expect(new Set(modes(datagrams, 'hybrid'))).toEqual(new Set(['snat']))
    expect(modes({ ...datagrams, forwarding: 'dsr' }, 'hybrid')).toContain('dsr')
  })

  test('no node port on a ClusterIP service, nor outside the range', () => {
    const plain = desiredFrontends(given({ ports: [NODE_PORT] }).snap, WEBPOD)
    expect(plain.frontends.map((each) => each.type)).toEqual(['ClusterIP'])
    const wild = desiredFrontends(given({ type: 'NodePort', ports: [{ ...HTTP, nodePort: 80 }] }).snap, WEBPOD)
    expect(wild.frontends.map((each) => each.type)).toEqual(['ClusterIP'])
    expect(wild.problems.map((each) => each.code)).toEqual(['node-port-out-of-range'])
  })
})

describe('traffic policies', () => {
  const outside = (etp: Service['externalTrafficPolicy'], itp: Service['internalTrafficPolicy']): unknown[] => {
    const fields = {
      type: 'NodePort',
      ports: [NODE_PORT],
      externalTrafficPolicy: etp,
      internalTrafficPolicy: itp,
    } as const
    return desiredFrontends(given(fields).snap, WEBPOD)
      .frontends.filter((each) => each.address !== 0)
      .map((each) => [
        each.id,
        each.group.count,
        flagNames(each.flags).filter((name) => name.endsWith('LOCAL') || name === 'TWO_SCOPES'),
      ])
  }

  test('Cluster, Cluster: one entry with all', () => {
    expect(outside('Cluster', 'Cluster')).toEqual([
      ['10.2.47.149:80/TCP', 3, []],
      ['172.18.0.3:30080/TCP', 3, []],
    ])
  })

  test('Local, Local: one entry with those of this node', () => {
    expect(outside('Local', 'Local')).toEqual([
      ['10.2.47.149:80/TCP', 1, ['ITP_LOCAL']],
      ['172.18.0.3:30080/TCP', 1, ['ETP_LOCAL', 'ITP_LOCAL']],
    ])
  })

  test('Local, Cluster: two scopes', () => {
    expect(outside('Local', 'Cluster')).toEqual([
      ['10.2.47.149:80/TCP', 3, []],
      ['172.18.0.3:30080/TCP', 1, ['ETP_LOCAL', 'TWO_SCOPES']],
      ['172.18.0.3:30080/TCP/i', 3, ['ETP_LOCAL', 'TWO_SCOPES']],
    ])
  })

  test('Cluster, Local: two scopes the other way', () => {
    expect(outside('Cluster', 'Local')).toEqual([
      ['10.2.47.149:80/TCP', 1, ['ITP_LOCAL']],
      ['172.18.0.3:30080/TCP', 3, ['ITP_LOCAL', 'TWO_SCOPES']],
      ['172.18.0.3:30080/TCP/i', 1, ['ITP_LOCAL', 'TWO_SCOPES']],
    ])
  })
})

describe('kept backends', () => {
  const local = { mesh: { global: true, shared: true, affinity: 'local' } } as const

  test('what is alive but not selected stays behind the selected ones', () => {
    const { snap, writer } = given(local)
    writer.upsertBackends(
      backendSet('west', [endpoint('10.0.0.9', 'not-ready'), LOCAL, endpoint('10.0.0.50', 'serving')]),
    )
    const { group } = desiredFrontends(snap, WEBPOD).frontends[0]!
    expect(group.count).toBe(1)
    expect(group.slots.map((slot) => [formatAddress(slot.address), slot.state])).toEqual([
      ['10.0.0.46', 'active'],
      ['10.0.0.9', 'terminating'],
      ['10.0.0.50', 'terminating'],
      ['10.1.0.190', 'active'],
    ])
  })

  test('what the service may not use does not', () => {
    const { snap } = given({ mesh: { global: false, shared: false, affinity: 'none' }, internalTrafficPolicy: 'Local' })
    expect(addresses(desiredFrontends(snap, WEBPOD).frontends[0]!.group.slots)).toEqual(['10.0.0.46'])
  })
})

describe('conflicts inside a service', () => {
  const codes = (fields: Partial<Service>): [string[], string[]] => {
    const { frontends, problems } = desiredFrontends(given(fields).snap, WEBPOD)
    return [frontends.map((each) => `${each.id} ${each.type}`), problems.map((each) => each.code)]
  }

  test('an address written down beats the node port expanded onto it', () => {
    const ports = [NODE_PORT, { ...HTTP, name: 'admin', port: 30080 }]
    const [frontends, problems] = codes({ type: 'NodePort', ports, externalIPs: [ip('172.18.0.3')] })
    expect(frontends).toContain('172.18.0.3:30080/TCP ExternalIP')
    expect(frontends).not.toContain('172.18.0.3:30080/TCP NodePort')
    expect(problems).toEqual(['frontend-conflict'])
  })

  test('one address written down twice for one port is one frontend', () => {
    const same = { externalIPs: [ip('172.18.0.100')], loadBalancerIPs: [ip('172.18.0.100')] }
    const [frontends, problems] = codes({ type: 'LoadBalancer', ...same })
    expect(frontends).toEqual([
      '172.18.0.100:80/TCP LoadBalancer',
      '10.2.47.149:80/TCP ClusterIP',
      '172.18.0.100:0/ANY Wildcard',
    ])
    expect(problems).toEqual([])
  })

  test('explicit addresses rank before node ports', () => {
    const { frontends } = desiredFrontends(given({ type: 'NodePort', ports: [NODE_PORT] }).snap, WEBPOD)
    expect(frontends.map(frontendRank)).toEqual([0, 1, 1])
  })
})
