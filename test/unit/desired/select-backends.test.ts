import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { View } from '../../../agent/desired/select-backends.ts'
import type { BackendSet, Condition, Endpoint } from '../../../agent/types/backend.ts'
import type { BackendDecision } from '../../../agent/types/frontend.ts'
import type { Affinity, MeshIntent, ServicePort } from '../../../agent/types/service.ts'
import { selectBackends } from '../../../agent/desired/select-backends.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import { reachKey } from '../../../agent/types/reach.ts'
import { REASONS } from '../../../agent/types/frontend.ts'
import { HTTP, backendSet, cluster, endpoint, ip, service, world } from './fixture.ts'

interface Case {
  readonly west?: readonly Endpoint[]
  readonly east?: readonly Endpoint[]
  readonly north?: readonly Endpoint[]
  readonly affinity?: Affinity
  readonly global?: boolean
  readonly port?: ServicePort
  readonly view?: View
  readonly unreachable?: readonly string[]
  /** Clusters with a backend that answered a probe of this node. */
  readonly answers?: readonly string[]
  /** Backends that did not. */
  readonly dead?: readonly Endpoint[]
}

function decide(given: Case): readonly BackendDecision[] {
  const { snap, writer } = world()
  const mesh: MeshIntent = { global: given.global ?? true, shared: true, affinity: given.affinity ?? 'none' }
  const port = given.port ?? HTTP
  const row = service({ mesh, ports: [port] })
  writer.upsertService(row)
  for (const name of ['west', 'east', 'north'] as const) {
    const endpoints = given[name]
    if (endpoints !== undefined) writer.upsertBackends(backendSet(name, endpoints))
  }
  for (const [i, name] of ['east', 'north'].entries()) {
    writer.upsertCluster(cluster(name, i + 2, { unreachable: given.unreachable?.includes(name) ?? false }))
  }
  for (const name of ['east', 'north'] as const) {
    const dead = (given.dead ?? []).filter((each) => given[name]?.includes(each))
    const keys = new Set(dead.flatMap((each) => each.ports.map((one) => reachKey(each.address, one.port))))
    const answers = given.answers?.includes(name) ?? false
    if (answers || keys.size > 0) writer.upsertReach({ cluster: name, answers, dead: keys }, [])
  }
  return selectBackends(snap, row, port, given.view ?? 'all')
}

/** `10.0.0.1 selected preferred` for each, in order. */
function told(decisions: readonly BackendDecision[]): string[] {
  return decisions.map((each) => `${formatAddress(each.address)} ${each.reason}${each.preferred ? ' preferred' : ''}`)
}

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

describe('properties', () => {
  const anyEndpoint = fc.record({
    address: fc.integer({ min: 1, max: 12 }).map((n) => ip(`10.0.0.${n}`)),
    condition: fc.constantFrom<Condition>('ready', 'serving', 'not-ready'),
    nodeName: fc.constantFrom(undefined, 'west-worker', 'other'),
    zone: fc.constant(undefined),
    weight: fc.integer({ min: 1, max: 65535 }),
    ports: fc.array(
      fc.record({
        name: fc.constantFrom('', 'http', 'web'),
        protocol: fc.constantFrom(6 as const, 17 as const),
        port: fc.constantFrom(80, 8080),
      }),
      { maxLength: 3 },
    ),
  })
  const endpoints = fc.array(anyEndpoint, { maxLength: 6 })
  const cases: fc.Arbitrary<Case> = fc.record({
    west: endpoints,
    east: endpoints,
    north: endpoints,
    affinity: fc.constantFrom<Affinity>('none', 'local', 'remote'),
    global: fc.boolean(),
    port: fc.constantFrom('', 'http').map((name) => ({ ...HTTP, name })),
    view: fc.constantFrom<View>('all', 'local'),
    unreachable: fc.subarray(['east', 'north']),
    dead: fc.constant<readonly Endpoint[]>([]),
  })
  const anyDead = cases.chain((given) =>
    fc.subarray([...(given.east ?? []), ...(given.north ?? [])]).map((dead): Case => ({ ...given, dead })),
  )
  const check = (body: (given: Case, decisions: readonly BackendDecision[]) => void, from = cases): void =>
    fc.assert(
      fc.property(from, (given) => body(given, decide(given))),
      { numRuns: 500 },
    )

  const EXCLUDED = ['not-global', 'port-name-mismatch', 'traffic-policy-local', 'not-ready', 'tier-hides']

  test('selected ⇔ reason selected, and every reason is of the list', () => {
    check((_, decisions) => {
      for (const each of decisions) {
        expect(REASONS).toContain(each.reason)
        expect(each.selected).toBe(each.reason === 'selected')
      }
    })
  })

  test('never empty when something is usable', () => {
    check((_, decisions) => {
      const usable = decisions.filter((each) => !EXCLUDED.includes(each.reason))
      expect(decisions.some((each) => each.selected)).toBe(usable.length > 0)
    }, anyDead)
  })

  test('a dead one is selected only when all that is selected is dead', () => {
    check((given, decisions) => {
      const dead = (each: BackendDecision): boolean =>
        (['east', 'north'] as const).some(
          (name) =>
            each.cluster === name &&
            (given.dead ?? []).some(
              (one) =>
                (given[name] ?? []).includes(one) &&
                one.address === each.address &&
                one.ports.some(({ port }) => port === each.port),
            ),
        )
      const selected = decisions.filter((each) => each.selected)
      if (selected.some((each) => !dead(each))) expect(selected.some(dead)).toBe(false)
    }, anyDead)
  })

  test('every endpoint shown is answered for', () => {
    check((given, decisions) => {
      for (const name of ['west', 'east', 'north'] as const) {
        for (const shown of given[name] ?? []) {
          expect(decisions.some((each) => each.cluster === name && each.address === shown.address)).toBe(true)
        }
      }
    })
  })

  test('no backend is selected twice', () => {
    check((_, decisions) => {
      const keys = decisions.filter((each) => each.selected).map((each) => `${each.address}:${each.port}`)
      expect(new Set(keys).size).toBe(keys.length)
    })
  })

  test('selected ones come first, each part by address and port', () => {
    check((_, decisions) => {
      const order = decisions.map((each) => [each.selected ? 0 : 1, each.address, each.port] as const)
      const sorted = [...order].sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2])
      expect(order).toEqual(sorted)
    })
  })

  test('while a preferred one is ready and reachable, nothing else is selected', () => {
    check((given, decisions) => {
      if (given.affinity === 'none' || given.global !== true) return
      const good = (each: BackendDecision): boolean =>
        each.condition === 'ready' &&
        !EXCLUDED.includes(each.reason) &&
        !(given.unreachable ?? []).includes(each.cluster) &&
        (each.cluster === 'west') === (given.affinity === 'local')
      if (!decisions.some(good)) return
      for (const each of decisions) expect(each.selected).toBe(good(each))
    })
  })

  test('without affinity all ready and reachable ones are selected together', () => {
    check((given, decisions) => {
      if (given.affinity !== 'none') return
      const good = (each: BackendDecision): boolean =>
        each.condition === 'ready' &&
        !EXCLUDED.includes(each.reason) &&
        !(given.unreachable ?? []).includes(each.cluster)
      if (!decisions.some(good)) return
      for (const each of decisions) expect(each.selected).toBe(good(each))
    })
  })

  test('nothing of another cluster or node gets through where it may not', () => {
    check((given, decisions) => {
      for (const each of decisions.filter((one) => one.selected)) {
        if (given.global !== true) expect(each.cluster).toBe('west')
        if (given.view === 'local') expect([each.cluster, each.nodeName]).toEqual(['west', 'west-worker'])
        expect(each.protocol).toBe(6)
        expect(each.condition).not.toBe('not-ready')
      }
    })
  })

  test('preferred ⇔ selected, where an affinity asks for a preference', () => {
    check((given, decisions) => {
      for (const each of decisions) {
        const asked = given.global === true && given.affinity !== 'none'
        expect(each.preferred).toBe(each.selected && asked)
      }
    })
  })

  test('the order in which sources delivered does not matter', () => {
    const sets = (given: Case): BackendSet[] =>
      (['west', 'east', 'north'] as const).map((name) => backendSet(name, given[name] ?? []))
    check((given, decisions) => {
      const { snap, writer } = world()
      const row = service({
        mesh: { global: given.global ?? true, shared: true, affinity: given.affinity ?? 'none' },
        ports: [given.port ?? HTTP],
      })
      for (const set of sets(given).reverse()) {
        writer.upsertBackends({ ...set, endpoints: [...set.endpoints] })
      }
      for (const [i, name] of ['east', 'north'].entries()) {
        writer.upsertCluster(cluster(name, i + 2, { unreachable: given.unreachable?.includes(name) ?? false }))
      }
      const again = selectBackends(snap, row, given.port ?? HTTP, given.view ?? 'all')
      expect(told(again)).toEqual(told(decisions))
    })
  })
})
