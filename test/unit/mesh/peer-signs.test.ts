import { beforeEach, describe, expect, test } from 'vitest'
import { PeerSigns } from '../../../agent/sources/mesh/peer-signs.ts'
import type { ClusterConfig } from '../../../agent/types/wire/cluster-config.ts'
import type { ClusterLink } from '../../../agent/types/wire/cluster-link.ts'
import { SteppedClock } from '../../stepped-clock.ts'

const DIRECT: ClusterConfig = {
  ...{ id: 2, syncedCanaries: true, cached: false, maxConnectedClusters: 255, serviceExportsEnabled: false },
}
const copy = (link?: ClusterLink): ClusterConfig => ({ ...DIRECT, cached: true, link })
const ALIVE: ClusterLink = { connected: true, reason: '' }

let clock: SteppedClock
let signs: PeerSigns
let told: number

beforeEach(() => {
  clock = new SteppedClock()
  clock.step(1_000_000)
  told = 0
  signs = new PeerSigns(clock, 1000, () => told++)
})

/** By the clock of whoever writes, which is `ahead` of ours. */
const silent = (sinceMs: number, forMs: number, ahead = 0): ClusterLink => {
  const at = clock.date().getTime() + ahead
  return { connected: false, silentSince: at - sinceMs - forMs, at: at - sinceMs, reason: 'cut' }
}

test('an exporter is alive while it writes its heartbeat; without one it is not judged by it', () => {
  signs.found(DIRECT)
  expect([signs.alive, signs.complaint, signs.copy]).toEqual([true, '', undefined])
  signs.heartbeat.seen('7')
  clock.step(1000)
  expect([signs.alive, signs.silenceMs]).toEqual([false, 0])
  expect(signs.complaint).toMatch(/the exporter is dead/)
})

describe('a copy', () => {
  test('that nobody renews says nothing about the cluster', () => {
    signs.heartbeat.seen('7')
    signs.found(copy(ALIVE))
    signs.heartbeat.seen('8')
    clock.step(1000)
    expect(signs.alive).toBe(true)
    expect(signs.copy).toMatchObject({ renewed: false, connected: true })
    expect(signs.complaint).toMatch(/kvstoremesh is dead/)
  })

  test('the silence told of goes on by our clock, whatever the clock of the teller', () => {
    signs.found(copy(ALIVE))
    signs.changed(copy(silent(0, 6000, 3_600_000)))
    expect([signs.alive, signs.silenceMs, told]).toEqual([false, 6000, 1])
    clock.step(500)
    signs.changed(copy({ ...silent(500, 6000, 3_600_000), reason: 'cut, and the name is gone' }))
    expect(signs.silenceMs).toBe(6500)
    expect(signs.complaint).toBe('kvstoremesh hears nothing of it: cut, and the name is gone')
  })

  test('found by somebody who was not there when it was written: the clocks say how long ago', () => {
    signs.found(copy(silent(60_000, 6000)))
    expect(signs.silenceMs).toBe(66_000)
    clock.step(1000)
    signs.found(copy(silent(61_000, 6000)))
    expect(signs.silenceMs).toBe(67_000)
  })

  test('a teller whose clock is ahead has been silent for as long as it says, at least', () => {
    signs.found(copy(silent(0, 6000, 3_600_000)))
    expect(signs.silenceMs).toBe(6000)
  })

  test('a clock that is off by a day counts for no more than the copier may have gone on after its last heartbeat', () => {
    const day = 86_400_000
    const copierAt = (ahead: number): number => clock.date().getTime() + ahead - 30_000
    // Of staleMs, which is 1 s here.
    signs.found(copy(silent(60_000, 6000, -day)), copierAt(-day))
    expect(signs.silenceMs).toBe(37_000)
    signs.found(copy(ALIVE))
    signs.found(copy(silent(60_000, 6000, day)), copierAt(day))
    expect(signs.silenceMs).toBe(36_000)
  })

  test('news of life wake who waits for them', async () => {
    signs.found(copy(silent(0, 6000)))
    const woken = signs.next()
    signs.changed(copy(ALIVE))
    await woken
    expect([signs.alive, signs.silenceMs, signs.complaint]).toEqual([true, 0, ''])
  })

  test('that does not tell is taken for alive', () => {
    signs.found(copy())
    expect(signs.alive).toBe(true)
    expect(signs.copy).toEqual({ renewed: true, connected: undefined, silentSince: undefined, reason: '' })
  })
})
