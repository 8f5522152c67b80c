import { describe, expect, test } from 'vitest'
import { judge, type Absence, type Cut, type Verdict } from '../../chaos/judge.ts'
import type { PodPlace, Route } from '../../chaos/probed.ts'

const GRACE_MS = 4000
const pod = (cluster: string, node = `${cluster}-b`): PodPlace => ({ cluster, node, ip: '' })
const ROUTE: Route = {
  ...{ name: 'west/any', cluster: 'west', node: 'west-a', outside: false, host: '', port: 80 },
  service: { name: 'any', without: undefined, nodePort: 0, host: 0 },
}
const cut = (kind: Cut['kind'], target: string, from: number, to = Infinity): Cut => ({
  ...{ kind, target, from, to },
  inPlace: from,
})

function asked(
  start: number,
  { cuts = [], absences = [] }: { cuts?: Cut[]; absences?: Absence[] },
  { outcome = 'no answer', route = ROUTE, pods = [pod('west', 'west-a'), pod('east'), pod('north')] } = {},
): Verdict {
  return judge(
    { route: route.name, start, end: start + 1000, outcome, from: 0 },
    route,
    pods,
    { cuts, absences },
    GRACE_MS,
  )
}

describe('a request that failed', () => {
  test('is lost when no packets were dropped', () => {
    expect(asked(0, {})).toBe('lost')
    expect(asked(20_000, { cuts: [cut('partition', 'east', 1000, 15_000)] })).toBe('lost')
  })

  test('is excused while the cut is young, and lost after that', () => {
    const cuts = [cut('partition', 'east', 1000)]
    expect(asked(5000, { cuts })).toBe('young')
    expect(asked(5001, { cuts })).toBe('lost')
  })

  test('is lost when the cut takes nothing from it', () => {
    expect(asked(1500, { cuts: [cut('partition', 'east', 1000)] }, { pods: [pod('north')] })).toBe('lost')
    expect(asked(1500, { cuts: [cut('link-down', 'east-a', 1000)] })).toBe('lost')
  })

  test('is lost while its agent is dead and nothing is cut', () => {
    expect(asked(1500, { absences: [{ node: 'west-a', from: 1000, to: 9000 }] })).toBe('lost')
  })

  test('is excused until an agent that was away during the cut is back for the grace time', () => {
    const cuts = [cut('partition', 'east', 1000)]
    const absences = [{ node: 'west-a', from: 2000, to: 8000 }]
    expect(asked(12_000, { cuts, absences })).toBe('young')
    expect(asked(12_001, { cuts, absences })).toBe('lost')
    expect(asked(6000, { cuts, absences: [{ node: 'west-b', from: 2000, to: 8000 }] })).toBe('lost')
  })

  test('is excused when no backend is left in reach', () => {
    expect(asked(20_000, { cuts: [cut('partition', 'west', 1000)] }, { pods: [pod('east'), pod('north')] })).toBe(
      'unreachable',
    )
    const outside = { ...ROUTE, outside: true }
    expect(asked(20_000, { cuts: [cut('link-down', 'west-a', 1000)] }, { route: outside })).toBe('unreachable')
    expect(asked(20_000, { cuts: [cut('partition', 'west', 1000)] }, { route: outside })).toBe('lost')
  })

  test('is excused when a backend of the own cluster is cut off', () => {
    const pods = [pod('west', 'west-a'), pod('west', 'west-b')]
    expect(asked(20_000, { cuts: [cut('link-down', 'west-b', 1000)] }, { pods })).toBe('own')
  })
})

test('a request that was answered is a proof when a backend had to be avoided', () => {
  const cuts = [cut('partition', 'east', 1000)]
  expect(asked(5001, { cuts }, { outcome: 'ok' })).toBe('proof')
  expect(asked(5000, { cuts }, { outcome: 'ok' })).toBe('answered')
  expect(asked(9000, {}, { outcome: 'ok' })).toBe('answered')
})
