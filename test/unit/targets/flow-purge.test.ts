import { describe, expect, it } from 'vitest'
import { PurgeRun } from '../../../agent/maps/layout.gen.ts'
import { purgeBit } from '../../../agent/maps/purge.ts'
import type { Cidr } from '../../../agent/types/address.ts'
import { parseCidr } from '../../../agent/types/address.ts'
import { FlowPurge } from '../../../agent/targets/flow-purge.ts'
import { SteppedClock } from '../../stepped-clock.ts'

const STRIDE = 8

function setup(options: { walkMs?: number; found?: number[]; fail?: { left: number } } = {}) {
  const clock = new SteppedClock()
  let walked = 0
  const ids = { count: 8, stride: STRIDE, u32: new Uint32Array(16) }
  const found = options.found ?? []
  const walks: { backends: number[]; services: number[] }[] = []
  const errors: unknown[] = []
  const marked = (kind: 'backends' | 'services'): number[] =>
    Array.from({ length: 256 }, (_, id) => id).filter((id) => {
      const { word, mask } = purgeBit(kind, id, STRIDE)
      return (ids.u32[word]! & mask) !== 0
    })
  const ranges = { count: 2, stride: 16, u32: new Uint32Array(8) }
  const told: number[][] = []
  const purge = new FlowPurge({
    ids,
    ranges,
    clock: { date: () => clock.date(), now: () => clock.now() + walked, after: (ms, fn) => clock.after(ms, fn) },
    walk: (run) => {
      if (options.fail !== undefined && options.fail.left-- > 0) throw new Error('no')
      walks.push({ backends: marked('backends'), services: marked('services') })
      told.push([...ranges.u32.subarray(0, run.readUInt32LE(PurgeRun.ranges) * 4)])
      walked += options.walkMs ?? 0
      run.writeUInt32LE(found.shift() ?? 0, PurgeRun.tcp)
      return run
    },
    onError: (error) => errors.push(error),
  })
  return { clock, purge, walks, errors, ids, told }
}

describe('FlowPurge', () => {
  it('gathers the ids of a moment into one walk', () => {
    const { clock, purge, walks, ids } = setup()
    purge.purge({ backends: [1, 31] })
    purge.purge({ backends: [32], services: [255] })
    clock.step(99)
    expect(walks).toEqual([])
    clock.step(1)
    expect(walks).toEqual([{ backends: [1, 31, 32], services: [255] }])
    expect([...ids.u32].every((word) => word === 0)).toBe(true)
    expect(clock.timers).toBe(0)
  })

  it('tells whose flows stay, of a service that stays and whose ranges there is room for', () => {
    const { purge, walks, told } = setup()
    const [one, two] = ['192.0.2.0/24', '203.0.113.7'].map((text) => parseCidr(text)!) as [Cidr, Cidr]
    purge.purge({ clients: { serviceId: 4, policy: 'allow', ranges: [two] } })
    purge.purge({ clients: { serviceId: 4, policy: 'deny', ranges: [one] } })
    purge.purge({ services: [5], clients: { serviceId: 5, policy: 'allow', ranges: [one] } })
    purge.purge({ clients: { serviceId: 6, policy: 'allow', ranges: [one, two] } })
    purge.flush()
    expect(walks).toEqual([{ backends: [], services: [4, 5, 6] }])
    expect(told).toEqual([[4, 0x000200c0, 0x00ffffff, 1]])
  })

  it('walks again until nothing is found, three times at most', () => {
    const { clock, purge, walks } = setup({ found: [5, 1, 7, 9] })
    purge.purge({ backends: [1] })
    clock.step(100)
    expect(walks).toHaveLength(3)
  })

  it('keeps walks apart, so that they take a twentieth of the time', () => {
    const { clock, purge, walks } = setup({ walkMs: 50 })
    purge.purge({ backends: [1] })
    clock.step(100)
    purge.purge({ backends: [2] })
    clock.step(999)
    expect(walks).toHaveLength(1)
    clock.step(1)
    expect(walks).toHaveLength(2)
  })

  it('gives an id back only once its flows are gone, and tries again after a failure', () => {
    const { clock, purge, errors } = setup({ fail: { left: 1 } })
    const released: number[] = []
    const pool = {
      used: 0,
      capacity: 9,
      reserve: () => true,
      allocate: () => 1,
      release: (id: number) => released.push(id),
    }
    purge.guard('backends', pool).release(7)
    clock.step(100)
    expect([errors.length, released]).toEqual([1, []])
    clock.step(2000)
    expect([errors.length, released]).toEqual([1, [7]])
  })

  it('does at the end what was still to be done', () => {
    const { clock, purge, walks } = setup()
    purge.purge({ services: [4] })
    purge.close()
    expect(walks).toEqual([{ backends: [], services: [4] }])
    expect(clock.timers).toBe(0)
  })
})
