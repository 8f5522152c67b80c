import { describe, expect, test } from 'vitest'
import { scheduleOf } from '../../chaos/schedule.ts'

const PLACES = {
  clusters: ['west', 'east', 'north'],
  nodes: ['west-a', 'west-b', 'east-a', 'north-a'],
  kvstoremesh: true,
}
const TEN_MINUTES = 600_000

describe('the schedule of a storm', () => {
  test('is the same for the same seed, and another for another', () => {
    expect(scheduleOf(7, TEN_MINUTES, PLACES)).toEqual(scheduleOf(7, TEN_MINUTES, PLACES))
    expect(scheduleOf(7, TEN_MINUTES, PLACES)).not.toEqual(scheduleOf(8, TEN_MINUTES, PLACES))
  })

  test('has faults of every kind in ten minutes, and several in two', () => {
    const kinds = new Set(scheduleOf(1, TEN_MINUTES, PLACES).map(({ kind }) => kind))
    expect(kinds.size).toBe(16)
    expect(scheduleOf(1, 120_000, PLACES).length).toBeGreaterThan(20)
  })

  test('is over when the storm is, and hits places of the right sort', () => {
    for (const { at, ms, kind, target } of scheduleOf(3, TEN_MINUTES, PLACES)) {
      expect(at + ms).toBeLessThanOrEqual(TEN_MINUTES)
      const isNode = kind === 'link-down' || kind.startsWith('agent')
      expect(isNode ? PLACES.nodes : PLACES.clusters).toContain(target)
    }
  })

  test('never has two faults of the network at once', () => {
    const cuts = scheduleOf(5, TEN_MINUTES, PLACES).filter(({ kind }) => kind === 'partition' || kind === 'link-down')
    for (const [i, cut] of cuts.entries()) expect(cuts[i + 1]?.at ?? Infinity).toBeGreaterThan(cut.at + cut.ms)
  })
})
