import { beforeEach, expect, test } from 'vitest'
import { CachedLink } from '../../../agent/run/cached-link.ts'
import type { ClusterLink } from '../../../agent/types/wire/cluster-link.ts'
import { SteppedClock } from '../../stepped-clock.ts'

let clock: SteppedClock
let told: ClusterLink[]
let complaint: string

beforeEach(() => {
  clock = new SteppedClock()
  clock.step(1_000_000)
  told = []
  complaint = ''
})

function create(held?: ClusterLink): CachedLink {
  const onChange = (link: ClusterLink): void => void told.push(link)
  return new CachedLink({ clock, silentAfterMs: 6000, held, complaint: () => complaint, onChange })
}

function alive(link: CachedLink, ms: number): void {
  for (let i = 0; i < ms; i += 250) {
    link.alive()
    clock.step(250)
  }
}

test('nothing is told while the cluster lives, nor of a short loss', () => {
  const link = create()
  link.connected()
  link.complete(true)
  alive(link, 60_000)
  link.failed('reset')
  clock.step(4000)
  link.connected()
  link.complete(true)
  alive(link, 60_000)
  expect([told, link.told]).toEqual([[], { connected: true, reason: '' }])
})

test('a silence is told once, with its beginning; its end when the copy is right and stays so', () => {
  const link = create()
  link.connected()
  link.complete(true)
  alive(link, 1000)
  clock.step(60_000)
  expect(told).toEqual([
    { connected: true, silentSince: 1_000_750, at: 1_006_750, reason: 'connected, but nothing comes from there' },
  ])
  link.failed('no route to host')
  alive(link, 5000)
  expect(told.slice(1).map(({ silentSince, connected }) => [silentSince, connected])).toEqual([[1_000_750, false]])
  link.complete(true)
  alive(link, 1000)
  expect(told.at(-1)).toEqual({ connected: true, reason: '' })
  expect(told).toHaveLength(3)
})

test('reasons that alternate are not told each time', () => {
  const link = create()
  for (let i = 0; i < 60; i++) {
    link.failed(`attempt ${i}`)
    clock.step(1000)
  }
  expect(told.length).toBeLessThanOrEqual(6)
  expect(new Set(told.map(({ silentSince }) => silentSince)).size).toBe(1)
})

test('an etcd that answers for a dead exporter: the connection stands, and that is told', () => {
  const link = create()
  link.connected()
  complaint = 'the exporter is dead'
  clock.step(10_000)
  expect(told).toMatchObject([{ connected: true, reason: 'the exporter is dead' }])
})

test('the silence that an earlier process told of goes on', () => {
  const held = { connected: false, silentSince: 400_000, at: 406_000, reason: 'gone' }
  const link = create(held)
  clock.step(60_000)
  expect([told, link.told, link.silent]).toEqual([[], held, true])
  link.failed('still gone')
  expect(told).toMatchObject([{ silentSince: 400_000, reason: 'still gone' }])
  link.connected()
  link.complete(true)
  alive(link, 2000)
  expect(link.silent).toBe(false)
})
