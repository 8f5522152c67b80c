import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { View } from '../../../agent/desired/select-backends.ts'
import type { BackendSet, Condition, Endpoint } from '../../../agent/types/backend.ts'
import type { BackendDecision } from '../../../agent/types/frontend.ts'
import type { Affinity } from '../../../agent/types/service.ts'
import type { Case } from './select-case.ts'
import { selectBackends } from '../../../agent/desired/select-backends.ts'
import { REASONS } from '../../../agent/types/frontend.ts'
import { HTTP, backendSet, cluster, ip, service, world } from './fixture.ts'
import { decide, told } from './select-case.ts'

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
    unshared: fc.subarray(['east', 'north']),
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

  const EXCLUDED = ['not-global', 'not-shared', 'port-name-mismatch', 'traffic-policy-local', 'not-ready', 'tier-hides']

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
        expect(given.unshared).not.toContain(each.cluster)
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
      (['west', 'east', 'north'] as const).map((name) => ({
        ...backendSet(name, given[name] ?? []),
        ...(given.unshared?.includes(name) === true ? { shared: false } : {}),
      }))
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
