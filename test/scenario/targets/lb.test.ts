import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Frontend } from '../../../agent/types/frontend.ts'
import type { LbTarget } from '../../../agent/targets/lb/target.ts'
import { SteppedClock } from '../../stepped-clock.ts'
import { backend, entry, frontend, GRACE, groupOf, LbFixture } from './lb-fixture.ts'

let maps: LbFixture
let clock: SteppedClock
let target: LbTarget

beforeEach(async () => {
  maps = new LbFixture({ services: 8, slots: 512, backends: 64 })
  clock = new SteppedClock()
  target = maps.target(clock)
  await target.load()
})

afterEach(() => maps.close())

/** All memory of the arrays and the elements of the service map, to see whether anything was written. */
function everything(): string {
  const { keys, values } = maps.services.dump()
  const arrays = Object.values(maps.views).map((view) => view.bytes)
  return Buffer.concat([keys, values, ...arrays]).toString('hex')
}

async function reread(): Promise<ReadonlyMap<string, Frontend>> {
  const other = maps.target(clock)
  const loaded = await other.load()
  other.close()
  return loaded
}

async function set(...frontends: Frontend[]): Promise<ReadonlyMap<string, Error>> {
  return target.set(frontends.map(entry))
}

/** The service element of a frontend, decoded by hand: offsets of `struct svc_val`. */
function element(f: Frontend): { id: number; count: number; qcount: number; slots: number; mag: number; m: number } {
  const key = Buffer.alloc(12)
  key.writeUInt32BE(f.address, 0)
  key.writeUInt16BE(f.port, 4)
  key[6] = f.protocol
  const value = maps.services.lookup(key)
  if (value === undefined) throw new Error(`no element for ${f.id}`)
  const word = (at: number): number => value.readUInt32LE(at)
  return { id: word(0), count: word(16), qcount: word(20), slots: word(24), mag: word(28), m: word(32) }
}

const slotAt = (index: number): number => maps.views.slots.u32[(index * maps.views.slots.stride) / 4]!

describe('restart', () => {
  test('a second process sees equal frontends, and setting them again writes nothing', async () => {
    const group = groupOf([backend(1), backend(2), backend(3, { state: 'terminating', clusterId: 2 })], 2)
    const wanted = [
      frontend(1, group),
      frontend(2, group, { algorithm: 'maglev', maglevSize: 31, flags: 1 << 5, affinitySeconds: 60 }),
      frontend(3, groupOf([]), { forwarding: 'dsr' }),
      frontend(4, groupOf([backend(1)]), { protocol: 17, id: '10.2.0.4:80/UDP/i', scope: 'int' }),
    ]
    expect((await set(...wanted)).size).toBe(0)
    const ids = wanted.map(({ id }) => target.idOf(id))
    const before = everything()

    const successor = maps.target(clock)
    const loaded = await successor.load()
    expect([...loaded.keys()].sort()).toEqual(wanted.map(({ id }) => id).sort())
    for (const f of wanted) expect(successor.equals(f, loaded.get(f.id)!)).toBe(true)
    expect((await successor.set(wanted.map(entry))).size).toBe(0)
    expect(everything()).toBe(before)
    expect(wanted.map(({ id }) => successor.idOf(id))).toEqual(ids)
    // Nothing in use is given out again.
    await successor.set([entry(frontend(5, groupOf([backend(9)])))])
    const all = await reread()
    for (const f of wanted) expect(successor.equals(f, all.get(f.id)!)).toBe(true)
  })

  test('weights come back as even or as unknown, and unknown ones are settled without a write', async () => {
    const uneven = frontend(1, groupOf([backend(1, { weight: 300 }), backend(2)]), {
      algorithm: 'maglev',
      maglevSize: 31,
    })
    await set(uneven)
    const before = everything()
    const successor = maps.target(clock)
    const loaded = await successor.load()
    expect(successor.equals(uneven, loaded.get(uneven.id)!)).toBe(false)
    await successor.set([entry(uneven)])
    expect(everything()).toBe(before)
    expect(successor.equals(uneven, (await successor.load()).get(uneven.id)!)).toBe(true)
  })

  test('backends that the last process let go of become zero after the grace', async () => {
    await set(frontend(1, groupOf([backend(1), backend(2)])))
    await set(frontend(1, groupOf([backend(1)])))
    target.close()
    const successor = maps.target(clock)
    await successor.load()
    expect(maps.backendStates().size).toBe(2)
    clock.step(GRACE)
    expect([...maps.backendStates().keys()]).toEqual(['10.0.0.1:8080'])
  })

  test('an element that leads nowhere is reported as damaged, repaired by set and removed by delete', async () => {
    const [a, b] = [frontend(1, groupOf([backend(1)])), frontend(2, groupOf([backend(2)]))]
    await set(a, b)
    for (const f of [a, b]) maps.views.slots.u32[(element(f).slots * maps.views.slots.stride) / 4] = 63
    target.close()
    const successor = maps.target(clock)
    const loaded = await successor.load()
    expect(successor.equals(a, loaded.get(a.id)!)).toBe(false)
    await successor.delete([b.id])
    expect((await successor.set([entry(a)])).size).toBe(0)
    const after = await reread()
    expect([...after.keys()]).toEqual([a.id])
    expect(successor.equals(a, after.get(a.id)!)).toBe(true)
  })
})

describe('sharing', () => {
  test('frontends of one group share its region; services with the same backend share its id', async () => {
    const group = groupOf([backend(1), backend(2)])
    const [a, b, c] = [frontend(1, group), frontend(2, group), frontend(3, groupOf([backend(2)]))]
    await set(a, b, c)
    expect(element(a).slots).toBe(element(b).slots)
    expect(element(c).slots).not.toBe(element(a).slots)
    expect(slotAt(element(c).slots)).toBe(slotAt(element(a).slots + 1))
    expect(target.stats().backends.used).toBe(2)
    expect(target.stats().slots.used).toBe(3)
    expect(new Set([a, b, c].map((f) => element(f).id)).size).toBe(3)
  })

  test('equal content in another group object writes nothing', async () => {
    await set(frontend(1, groupOf([backend(1), backend(2)]), { algorithm: 'maglev', maglevSize: 31 }))
    const before = everything()
    await set(frontend(1, groupOf([backend(1), backend(2)]), { algorithm: 'maglev', maglevSize: 31 }))
    expect(everything()).toBe(before)
    expect(target.stats().slots.used).toBe(33)
  })

  test('a group leaves the maps with its last frontend', async () => {
    const group = groupOf([backend(1)])
    const [a, b] = [frontend(1, group), frontend(2, group)]
    await set(a, b)
    await target.delete([a.id])
    clock.step(GRACE)
    expect(maps.backendStates().size).toBe(1)
    await target.delete([b.id])
    clock.step(GRACE)
    expect(maps.backendStates().size).toBe(0)
    expect(target.stats()).toMatchObject({
      frontends: 0,
      slots: { used: 0 },
      backends: { used: 0 },
      services: { used: 0 },
    })
    expect(await target.load()).toEqual(new Map())
  })

  test('of two opinions about a backend the more usable one stands', async () => {
    const [a, b] = [frontend(1, groupOf([backend(1)])), frontend(2, groupOf([backend(1, { state: 'terminating' })], 0))]
    await set(a, b)
    expect(maps.backendStates().get('10.0.0.1:8080')).toBe(1)
    // An array holds one state per backend: a successor learns the other opinion by set, which writes nothing.
    const before = everything()
    const successor = maps.target(clock)
    expect(successor.equals(b, (await successor.load()).get(b.id)!)).toBe(false)
    await successor.set([entry(b)])
    expect(successor.equals(b, (await successor.load()).get(b.id)!)).toBe(true)
    expect(everything()).toBe(before)
    await target.delete([a.id])
    expect(maps.backendStates().get('10.0.0.1:8080')).toBe(2)
    expect(target.equals(b, (await target.load()).get(b.id)!)).toBe(true)
  })
})

describe('publishing', () => {
  test('a changed group gets a new region; the old one stays whole for the grace', async () => {
    const first = frontend(1, groupOf([backend(1), backend(2)]))
    await set(first)
    const old = element(first)
    const content = [slotAt(old.slots), slotAt(old.slots + 1)]
    for (let n = 3; n < 40; n++) {
      await set(frontend(1, groupOf([backend(n), backend(n + 1)])))
      expect(element(first).slots).not.toBe(old.slots)
      expect([slotAt(old.slots), slotAt(old.slots + 1)]).toEqual(content)
    }
    expect(element(first).id).toBe(old.id)
  })

  test('a change of state alone moves nothing', async () => {
    const f = frontend(1, groupOf([backend(1), backend(2)]))
    await set(f)
    const before = element(f)
    await set(frontend(1, groupOf([backend(1), backend(2, { state: 'terminating' })])))
    expect(element(f)).toEqual(before)
    expect(maps.backendStates().get('10.0.0.2:8080')).toBe(2)
    await set(frontend(1, groupOf([backend(1), backend(2, { state: 'terminating' })], 1)))
    expect(element(f)).toEqual({ ...before, count: 1, qcount: 1 })
  })

  test('whatever a reader sees through the element is a whole service', async () => {
    const f = frontend(1, groupOf([backend(1), backend(2)]))
    const sets = [
      groupOf([backend(1), backend(2)]),
      groupOf([backend(3), backend(4), backend(5)]),
      groupOf([backend(6)]),
    ]
    const shape = (index: number): string => sets[index]!.slots.map(({ address }) => address).join()
    await set(f)
    // A reader may hold an element for as long as the grace: all that it led to must still be there.
    const held: { from: number; count: number; slots: number; shape: string }[] = []
    for (let round = 0; round < 200; round++) {
      await set(frontend(1, sets[round % 3]!))
      const { count, slots } = element(f)
      held.push({ from: clock.now(), count, slots, shape: shape(round % 3) })
      for (const reader of held.filter(({ from }) => clock.now() - from < GRACE)) {
        const seen = Array.from({ length: reader.count }, (_, i) => maps.views.backends.at(slotAt(reader.slots + i)))
        expect(seen.map((be) => be.readUInt32BE(0)).join()).toBe(reader.shape)
        expect(seen.every((be) => be[7] !== 0)).toBe(true)
      }
      clock.step(GRACE / 7)
    }
  })

  test('a backend that returns within the grace keeps its id', async () => {
    const f = frontend(1, groupOf([backend(1), backend(2)]))
    await set(f)
    const id = slotAt(element(f).slots + 1)
    await set(frontend(1, groupOf([backend(1)])))
    clock.step(GRACE - 1)
    await set(f)
    clock.step(GRACE * 3)
    expect(slotAt(element(f).slots + 1)).toBe(id)
    expect(maps.backendStates().size).toBe(2)
  })

  test('the address behind an id does not change before the grace is over twice: until cleared, and until given out', async () => {
    await set(frontend(1, groupOf([backend(1)])))
    await set(frontend(1, groupOf([])))
    clock.step(GRACE - 1)
    expect(maps.backendStates().size).toBe(1)
    clock.step(1)
    expect(maps.backendStates().size).toBe(0)
    expect(clock.timers).toBe(0)
  })

  test('a table is built for the selectable backends only, and only where one is wanted', async () => {
    const group = groupOf([backend(1), backend(2), backend(3)], 2)
    const [plain, maglev] = [frontend(1, group), frontend(2, group, { algorithm: 'maglev', maglevSize: 31 })]
    await set(plain, maglev)
    expect(element(plain)).toMatchObject({ mag: 0, m: 0 })
    const { mag, m, slots } = element(maglev)
    expect(m).toBe(31)
    const used = new Set(Array.from({ length: m }, (_, i) => slotAt(mag + i)))
    expect([...used].sort()).toEqual([slotAt(slots), slotAt(slots + 1)].sort())
    await set(frontend(2, group))
    expect(element(maglev)).toMatchObject({ mag: 0, m: 0 })
    expect(target.stats().slots.used).toBe(3)
  })
})

describe('full maps', () => {
  const codes = (failures: ReadonlyMap<string, Error>): [string, unknown][] =>
    [...failures].map(([id, error]) => [id, (error as { code?: unknown }).code])

  test('the service map: the new frontends are refused, the old ones stay, and there is room again after a delete', async () => {
    const old = Array.from({ length: 8 }, (_, n) => frontend(n, groupOf([backend(n)])))
    await set(...old)
    const before = everything()
    const used = target.stats()
    const [x, y] = [frontend(20, groupOf([backend(20)])), frontend(21, groupOf([backend(1)]))]
    expect(codes(await set(x, y))).toEqual([
      [x.id, 'map-full'],
      [y.id, 'map-full'],
    ])
    expect(target.idOf(x.id)).toBeUndefined()
    clock.step(GRACE * 2)
    expect(target.stats()).toEqual(used)
    expect(maps.services.dump().count).toBe(8)
    expect([...maps.backendStates().keys()].length).toBe(8)
    // A mixed batch: changes of the old ones go in around the failure.
    const moved = frontend(0, groupOf([backend(1), backend(2)]))
    expect(codes(await set(x, moved))).toEqual([[x.id, 'map-full']])
    expect(target.equals(moved, (await reread()).get(moved.id)!)).toBe(true)
    await target.delete([old[7]!.id])
    expect((await set(x)).size).toBe(0)
    expect(before).not.toBe(everything())
  })

  test('backends: the frontend keeps what it had', async () => {
    const f = frontend(1, groupOf([backend(1)]))
    await set(f)
    const many = frontend(1, groupOf(Array.from({ length: 80 }, (_, n) => backend(n + 100))))
    expect(codes(await set(many))).toEqual([[f.id, 'map-full']])
    expect(target.equals(f, (await reread()).get(f.id)!)).toBe(true)
    clock.step(GRACE)
    clock.step(GRACE)
    expect(maps.backendStates().size).toBe(1)
    expect((await set(frontend(1, groupOf(Array.from({ length: 60 }, (_, n) => backend(n + 100)))))).size).toBe(0)
  })

  test('slots: the frontend keeps its table and takes no ids', async () => {
    const f = frontend(1, groupOf([backend(1)]), { algorithm: 'maglev', maglevSize: 251 })
    await set(f)
    const used = target.stats()
    const moved = frontend(1, groupOf([backend(2), backend(3)]), { algorithm: 'maglev', maglevSize: 509 })
    expect(codes(await set(moved))).toEqual([[f.id, 'map-full']])
    clock.step(GRACE)
    expect(target.stats()).toEqual(used)
    expect(target.equals(f, (await reread()).get(f.id)!)).toBe(true)
  })
})

describe('drift', () => {
  const damage: [string, (f: Frontend) => void][] = [
    ['a slot', (f) => (maps.views.slots.u32[(element(f).slots * maps.views.slots.stride) / 4] = 7)],
    ['a table entry', (f) => (maps.views.slots.u32[(element(f).mag * maps.views.slots.stride) / 4] = 7)],
    ['a backend', (f) => maps.views.backends.at(slotAt(element(f).slots)).fill(0)],
    ['the reverse entry', (f) => maps.views.reverse.at(element(f).id).fill(0)],
    ['the element', () => maps.services.update(maps.services.dump().keys.subarray(0, 12), Buffer.alloc(36))],
    ['all of the element', () => void maps.services.deleteBatch(maps.services.dump().keys, 1)],
  ]
  test.each(damage)('%s changed by somebody else is seen, and put right by set', async (_what, damaged) => {
    const f = frontend(1, groupOf([backend(1), backend(2)]), { algorithm: 'maglev', maglevSize: 31 })
    await set(f)
    expect(target.equals(f, (await target.load()).get(f.id)!)).toBe(true)
    damaged(f)
    const seen = (await target.load()).get(f.id)
    expect(seen !== undefined && target.equals(f, seen)).toBe(false)
    expect((await set(f)).size).toBe(0)
    expect(target.equals(f, (await target.load()).get(f.id)!)).toBe(true)
    expect(target.equals(f, (await reread()).get(f.id)!)).toBe(true)
  })

  test('an element of a stranger is seen and can be removed', async () => {
    await maps.target(clock).set([entry(frontend(9, groupOf([])))])
    expect([...(await target.load()).keys()]).toEqual([frontend(9, groupOf([])).id])
    await target.delete([frontend(9, groupOf([])).id, '10.2.0.99:80/TCP', 'nonsense'])
    expect(maps.services.dump().count).toBe(0)
  })
})
