import { describe, expect, test } from 'vitest'
import type { Endpoint } from '../../../agent/types/backend.ts'
import type { ServicePort } from '../../../agent/types/service.ts'
import type { Case } from './select-case.ts'
import { selectBackends } from '../../../agent/desired/select-backends.ts'
import { HTTP, backendSet, endpoint, service, world } from './fixture.ts'
import { decide, told } from './select-case.ts'

const W1 = endpoint('10.0.0.46')
const W2 = endpoint('10.0.1.219')
const E1 = endpoint('10.1.0.190')
const E2 = endpoint('10.1.1.41')

describe('what this node sees of backends', () => {
  test('a silent control plane ejects nothing while pods answer', () => {
    expect(told(decide({ west: [W1], east: [E1], unreachable: ['east'] }))).toEqual([
      '10.0.0.46 selected',
      '10.1.0.190 cluster-unreachable',
    ])
    expect(told(decide({ west: [W1], east: [E1], unreachable: ['east'], answers: ['east'] }))).toEqual([
      '10.0.0.46 selected',
      '10.1.0.190 selected',
    ])
  })

  test('a dead backend is left, whatever its cluster says, and whatever the affinity', () => {
    const east = [E1, E2]
    for (const unreachable of [[], ['east']]) {
      expect(told(decide({ west: [W1], east, dead: [E1], unreachable, answers: ['east'] }))).toEqual([
        '10.0.0.46 selected',
        '10.1.1.41 selected',
        '10.1.0.190 unhealthy',
      ])
    }
    expect(told(decide({ west: [W1], east, dead: east, affinity: 'remote' }))).toEqual([
      '10.0.0.46 selected preferred',
      '10.1.0.190 unhealthy',
      '10.1.1.41 unhealthy',
    ])
  })

  test('nothing else left: dead ones are used, those of an unreachable cluster before them', () => {
    expect(told(decide({ east: [E1, E2], dead: [E1, E2] }))).toEqual(['10.1.0.190 selected', '10.1.1.41 selected'])
    expect(told(decide({ east: [E1, E2], dead: [E1], unreachable: ['east'] }))).toEqual([
      '10.1.1.41 selected',
      '10.1.0.190 unhealthy',
    ])
  })

  test('what is known of a TCP port says nothing of the UDP port of the same number', () => {
    const udp: ServicePort = { ...HTTP, protocol: 17 }
    const both = endpoint('10.1.0.190', 'ready', { ports: [{ name: 'http', protocol: 17, port: 8080 }] })
    expect(told(decide({ west: [], east: [both], port: udp, dead: [both] }))).toEqual(['10.1.0.190 selected'])
  })
})

describe('a service that is announced and not shared', () => {
  test('is shown, and not even taken as the last', () => {
    const given: Case = { east: [E1], north: [endpoint('10.4.0.1')], unshared: ['east'] }
    expect(told(decide({ ...given, west: [W1] }))).toEqual([
      '10.0.0.46 selected',
      '10.4.0.1 selected',
      '10.1.0.190 not-shared',
    ])
    expect(told(decide({ ...given, affinity: 'remote', unshared: ['east', 'north'] }))).toEqual([
      '10.1.0.190 not-shared',
      '10.4.0.1 not-shared',
    ])
    expect(told(decide({ ...given, unreachable: ['east'], global: false }))).toEqual([
      '10.1.0.190 not-global',
      '10.4.0.1 not-global',
    ])
  })

  test('gives way to a cluster that shares the same address', () => {
    expect(told(decide({ east: [E1], north: [E1], unshared: ['east'] }))).toEqual([
      '10.1.0.190 selected',
      '10.1.0.190 not-shared',
    ])
  })
})

describe('affinity', () => {
  test('none: all of both clusters', () => {
    expect(told(decide({ west: [W1, W2], east: [E1, E2] }))).toEqual([
      '10.0.0.46 selected',
      '10.0.1.219 selected',
      '10.1.0.190 selected',
      '10.1.1.41 selected',
    ])
  })

  test('local: own ones, marked; the others listed after them', () => {
    expect(told(decide({ west: [W1, W2], east: [E1, E2], affinity: 'local' }))).toEqual([
      '10.0.0.46 selected preferred',
      '10.0.1.219 selected preferred',
      '10.1.0.190 affinity-hides',
      '10.1.1.41 affinity-hides',
    ])
  })

  test('remote: the other way round', () => {
    expect(told(decide({ west: [W1, W2], east: [E1, E2], affinity: 'remote' }))).toEqual([
      '10.1.0.190 selected preferred',
      '10.1.1.41 selected preferred',
      '10.0.0.46 affinity-hides',
      '10.0.1.219 affinity-hides',
    ])
  })

  test('local with no pod left: remote ones answer, and are marked as what is used now', () => {
    expect(told(decide({ east: [E1, E2], affinity: 'local' }))).toEqual([
      '10.1.0.190 selected preferred',
      '10.1.1.41 selected preferred',
    ])
  })

  test('local: the last pod terminating brings in the remote ones', () => {
    const west = [endpoint('10.0.0.46', 'serving')]
    expect(told(decide({ west, east: [E1], affinity: 'local' }))).toEqual([
      '10.1.0.190 selected preferred',
      '10.0.0.46 terminating',
    ])
  })

  test('local: terminating pods of both sides: the preferred one serves on', () => {
    const west = [endpoint('10.0.0.46', 'serving')]
    const east = [endpoint('10.1.0.190', 'serving')]
    expect(told(decide({ west, east, affinity: 'local' }))).toEqual([
      '10.0.0.46 selected preferred',
      '10.1.0.190 affinity-hides',
    ])
  })

  test('of a service that is not global it means nothing', () => {
    expect(told(decide({ west: [W1], east: [E1], affinity: 'remote', global: false }))).toEqual([
      '10.0.0.46 selected',
      '10.1.0.190 not-global',
    ])
  })
})

describe('conditions', () => {
  test('terminating ones only when nothing is ready', () => {
    const west = [W1, endpoint('10.0.1.219', 'serving'), endpoint('10.0.1.220', 'not-ready')]
    expect(told(decide({ west }))).toEqual(['10.0.0.46 selected', '10.0.1.219 terminating', '10.0.1.220 not-ready'])
    expect(told(decide({ west: west.slice(1) }))).toEqual(['10.0.1.219 selected', '10.0.1.220 not-ready'])
    expect(told(decide({ west: west.slice(2) }))).toEqual(['10.0.1.220 not-ready'])
  })

  test('an unreachable cluster is left, but never as the last', () => {
    expect(told(decide({ west: [W1], east: [E1], unreachable: ['east'] }))).toEqual([
      '10.0.0.46 selected',
      '10.1.0.190 cluster-unreachable',
    ])
    expect(told(decide({ east: [E1], unreachable: ['east'] }))).toEqual(['10.1.0.190 selected'])
  })

  test('affinity remote leaves an unreachable cluster for a reachable one, then for home', () => {
    const north = [endpoint('10.4.0.1')]
    const given: Case = { west: [W1], east: [E1], north, affinity: 'remote' }
    expect(told(decide({ ...given, unreachable: ['east'] }))).toEqual([
      '10.4.0.1 selected preferred',
      '10.0.0.46 affinity-hides',
      '10.1.0.190 cluster-unreachable',
    ])
    expect(told(decide({ ...given, unreachable: ['east', 'north'] }))).toEqual([
      '10.0.0.46 selected preferred',
      '10.1.0.190 cluster-unreachable',
      '10.4.0.1 cluster-unreachable',
    ])
  })
})

describe('ports', () => {
  const at = (name: string, protocol: 6 | 17 = 6, port = 8080): Endpoint['ports'] => [{ name, protocol, port }]
  const cases: [what: string, wanted: string, shown: Endpoint['ports'], west: string, east: string][] = [
    ['same name', 'http', at('http'), 'selected', 'selected'],
    ['another name', 'http', at('web'), 'port-name-mismatch', 'port-name-mismatch'],
    ['nameless backend', 'http', at(''), 'port-name-mismatch', 'selected'],
    ['unnamed service port', '', at('web'), 'port-name-mismatch', 'selected'],
    ['both unnamed', '', at(''), 'selected', 'selected'],
    ['another protocol', 'http', at('http', 17), 'port-name-mismatch', 'port-name-mismatch'],
    ['no port at all', 'http', [], 'port-name-mismatch', 'port-name-mismatch'],
  ]
  test.each(cases)('%s', (_, wanted, ports, west, east) => {
    const decisions = decide({
      west: [endpoint('10.0.0.1', 'ready', { ports })],
      east: [endpoint('10.1.0.1', 'ready', { ports })],
      port: { ...HTTP, name: wanted },
    })
    const reasons = new Map(decisions.map((each) => [each.cluster, each.reason]))
    expect(reasons).toEqual(
      new Map([
        ['west', west],
        ['east', east],
      ]),
    )
  })

  test('an unnamed service port takes every port a remote backend shows, once', () => {
    const ports = [...at('a'), ...at('b'), ...at('c', 6, 9090)]
    const decisions = decide({ east: [endpoint('10.1.0.1', 'ready', { ports })], port: { ...HTTP, name: '' } })
    expect(decisions.map((each) => each.port)).toEqual([8080, 9090])
  })
})

describe('one address, several claims', () => {
  test('the own cluster has it', () => {
    const decisions = decide({ west: [W1], east: [W1, E1] })
    expect(decisions.map((each) => [each.cluster, each.reason])).toEqual([
      ['west', 'selected'],
      ['east', 'selected'],
      ['east', 'tier-hides'],
    ])
    expect(decisions[2]!.address).toBe(W1.address)
  })

  test('then the first cluster by name', () => {
    const decisions = decide({ north: [E1], east: [E1] })
    expect(decisions.map((each) => [each.cluster, each.reason])).toEqual([
      ['east', 'selected'],
      ['north', 'tier-hides'],
    ])
  })

  test('which gives way to another remote one when nobody can use its claim', () => {
    const gone = endpoint('10.1.0.190', 'not-ready')
    expect(decide({ north: [E1], east: [gone] }).map((each) => [each.cluster, each.reason])).toEqual([
      ['north', 'selected'],
      ['east', 'not-ready'],
    ])
    // A remote cluster never takes over an address of the own one.
    expect(decide({ west: [endpoint('10.1.0.190', 'not-ready')], east: [E1] }).map((each) => each.reason)).toEqual([
      'not-ready',
      'tier-hides',
    ])
  })

  test('two slices of one cluster are one backend, at its best', () => {
    const { snap, writer } = world()
    const row = service()
    writer.upsertService(row)
    writer.upsertBackends(backendSet('west', [endpoint('10.0.0.46', 'serving')], 'a'))
    writer.upsertBackends(backendSet('west', [W1], 'b'))
    expect(told(selectBackends(snap, row, HTTP, 'all'))).toEqual(['10.0.0.46 selected'])
  })
})

test('local view: this node of this cluster only, whatever a remote cluster calls its nodes', () => {
  const here = { nodeName: 'west-worker' }
  const decisions = decide({
    west: [endpoint('10.0.0.46', 'ready', here), endpoint('10.0.1.219', 'ready', { nodeName: 'west-control-plane' })],
    east: [endpoint('10.1.0.190', 'ready', here), E2],
    view: 'local',
  })
  expect(told(decisions)).toEqual([
    '10.0.0.46 selected',
    '10.0.1.219 traffic-policy-local',
    '10.1.0.190 traffic-policy-local',
    '10.1.1.41 traffic-policy-local',
  ])
})
