import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Cidr } from '../../../agent/types/address.ts'
import type { Frontend } from '../../../agent/types/frontend.ts'
import type { LbTarget } from '../../../agent/targets/lb/target.ts'
import { sourceRangeKey } from '../../../agent/maps/source-range.ts'
import { formatCidr, parseCidr } from '../../../agent/types/address.ts'
import { SERVICE_FLAGS } from '../../../agent/types/service-flags.ts'
import { SteppedClock } from '../../stepped-clock.ts'
import { backend, entry, frontend, groupOf, LbFixture } from './lb-fixture.ts'

let maps: LbFixture
let clock: SteppedClock
let target: LbTarget

beforeEach(async () => {
  maps = new LbFixture({ services: 8, slots: 512, backends: 64, ranges: 4 })
  clock = new SteppedClock()
  target = maps.target(clock)
  await target.load()
})

afterEach(() => maps.close())

const group = groupOf([backend(1)])

function checked(n: number, ...texts: string[]): Frontend {
  const sourceRanges = texts.map((text): Cidr => parseCidr(text)!)
  return frontend(n, group, { flags: SERVICE_FLAGS.LB | SERVICE_FLAGS.SRC_CHECK, sourceRanges })
}

function denied(n: number, ...texts: string[]): Frontend {
  const allowed = checked(n, ...texts)
  return { ...allowed, flags: allowed.flags | SERVICE_FLAGS.SRC_DENY }
}

/** `id range`, as they stand in the map. */
function there(): string[] {
  const { keys, count } = maps.ranges.dump()
  return Array.from({ length: count }, (_, i) => sourceRangeKey.decode(keys, i * sourceRangeKey.size))
    .map(({ serviceId, range }) => `${serviceId} ${formatCidr(range)}`)
    .sort()
}

async function set(...frontends: Frontend[]): Promise<ReadonlyMap<string, Error>> {
  return target.set(frontends.map(entry))
}

describe('source ranges', () => {
  test('each service has its own, and they go with it', async () => {
    await set(checked(1, '10.0.0.0/8', '192.0.2.1/32'), checked(2, '10.0.0.0/8'))
    expect(there()).toEqual(['1 10.0.0.0/8', '1 192.0.2.1/32', '2 10.0.0.0/8'])
    await target.delete([checked(1).id])
    expect(there()).toEqual(['2 10.0.0.0/8'])
  })

  test('a change is told once, for a service whose flows may be of clients that are no longer admitted', async () => {
    await set(checked(1, '10.0.0.0/8'))
    expect(maps.rangesChanged).toEqual([])
    await set(checked(1, '10.0.0.0/8', '192.0.2.0/24'))
    expect(maps.rangesChanged).toEqual([])
    await set(checked(1, '192.0.2.0/24'))
    expect(maps.rangesChanged).toEqual([1])
    expect(there()).toEqual(['1 192.0.2.0/24'])
    await set(frontend(1, group, { flags: SERVICE_FLAGS.LB }))
    expect(there()).toEqual([])
    await set(checked(1, '10.0.0.0/8'))
    expect(maps.rangesChanged.at(-1)).toBe(1)
  })

  test('of clients that are kept out, one more is told and one less is not; a change of sides is', async () => {
    await set(denied(1, '10.0.0.0/8'))
    await set(denied(1, '10.0.0.0/8', '192.0.2.0/24'))
    expect(maps.rangesChanged).toEqual([1])
    await set(denied(1, '192.0.2.0/24'))
    expect(maps.rangesChanged).toEqual([1])
    expect(there()).toEqual(['1 192.0.2.0/24'])
    await set(checked(1, '192.0.2.0/24'))
    expect(maps.rangesChanged).toEqual([1, 1])
    await set(frontend(1, group, { flags: SERVICE_FLAGS.LB }))
    expect(maps.rangesChanged).toEqual([1, 1])
    await set(denied(1, '10.0.0.0/8'))
    expect(maps.rangesChanged).toEqual([1, 1, 1])
    const next = maps.target(clock)
    await next.load()
    await next.set([entry(denied(1, '10.0.0.0/8', '192.0.2.0/24'))])
    expect(maps.rangesChanged).toEqual([1, 1, 1, 1])
  })

  test('a restart finds them, sets nothing anew and drops those of a service that is gone', async () => {
    const wanted = checked(1, '10.0.0.0/8', '10.0.0.0/16')
    await set(wanted)
    const orphan = Buffer.alloc(sourceRangeKey.size)
    sourceRangeKey.encode({ serviceId: 7, range: parseCidr('10.0.0.0/8')! }, orphan)
    maps.ranges.update(orphan, Buffer.alloc(4))
    const next = maps.target(clock)
    const loaded = (await next.load()).get(wanted.id)
    expect(loaded !== undefined && next.equals(loaded, wanted)).toBe(true)
    expect(there()).toEqual(['1 10.0.0.0/16', '1 10.0.0.0/8'])
    await next.set([entry(checked(1, '10.0.0.0/16'))])
    expect(there()).toEqual(['1 10.0.0.0/16'])
    expect(maps.rangesChanged).toEqual([1])
  })

  test('one that somebody took away is missed, and put back', async () => {
    const wanted = checked(1, '10.0.0.0/8')
    await set(wanted)
    maps.ranges.deleteBatch(maps.ranges.dump().keys, 1)
    const seen = (await target.load()).get(wanted.id)
    expect(seen === undefined || target.equals(seen, wanted)).toBe(false)
    await set(wanted)
    expect(there()).toEqual(['1 10.0.0.0/8'])
  })

  test('no room: the service is refused and has taken nothing, others and its old list stay', async () => {
    await set(checked(1, '10.0.0.0/8', '10.0.0.0/16', '10.0.0.0/24'))
    const failures = await set(checked(2, '192.0.2.0/24', '192.0.2.0/25'))
    expect([...failures.values()].map((error) => (error as { code?: string }).code)).toEqual(['map-full'])
    expect(there()).toEqual(['1 10.0.0.0/16', '1 10.0.0.0/24', '1 10.0.0.0/8'])
    expect(await set(checked(2, '192.0.2.0/24'))).toEqual(new Map())
  })
})
