import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BpfMap, errnoName, MapFlag, MapType, possibleCpus, Update } from '../../native/index.ts'
import { caught, hash, u32 } from './native-fixture.ts'

const u32s = (values: readonly number[]): Buffer => Buffer.concat(values.map(u32))

/** Contents as numbers, in key order. */
const contents = (map: BpfMap): [number, number][] =>
  [...map.entries()]
    .map(([key, value]): [number, number] => [key.readUInt32LE(), value.readUInt32LE()])
    .sort((a, b) => a[0] - b[0])

describe('elements', () => {
  it('are written, read, deleted; flags hold', () => {
    using map = hash(2)
    expect(map.lookup(u32(1))).toBeUndefined()
    map.update(u32(1), u32(10))
    expect(map.lookup(u32(1))?.readUInt32LE()).toBe(10)
    expect(caught(() => map.update(u32(1), u32(11), Update.NOEXIST)).code).toBe('BPF_EEXIST')
    expect(caught(() => map.update(u32(2), u32(20), Update.EXIST)).code).toBe('BPF_ENOENT')
    map.update(u32(2), u32(20))
    expect(caught(() => map.update(u32(3), u32(30)))).toMatchObject({ code: 'BPF_E2BIG', subject: 'test' })
    expect(map.delete(u32(1))).toBe(true)
    expect(map.delete(u32(1))).toBe(false)
  })

  it('a returned value is a copy', () => {
    using map = hash(2)
    map.update(u32(1), u32(10))
    const value = map.lookup(u32(1))
    map.update(u32(1), u32(99))
    map.lookup(u32(1))
    expect(value?.readUInt32LE()).toBe(10)
  })

  it('refuses wrong sizes, bad descriptors and use after close', () => {
    const map = hash(2)
    expect(caught(() => map.lookup(Buffer.alloc(3))).message).toContain('key has 3 bytes, the map wants 4')
    expect(caught(() => map.update(u32(1), Buffer.alloc(5))).code).toBe('BPF_ARGUMENT')
    expect(caught(() => map.updateBatch(u32(1), u32(1), 2)).code).toBe('BPF_ARGUMENT')
    map.close()
    map.close()
    expect(caught(() => map.lookup(u32(1))).code).toBe('BPF_CLOSED')
    expect(caught(() => map.dump()).code).toBe('BPF_CLOSED')
    expect(caught(() => BpfMap.fromFd(0)).code).toBe('BPF_ARGUMENT')
    expect(
      caught(() => BpfMap.create({ type: 9999, name: 'x', keySize: 4, valueSize: 4, maxEntries: 1 })),
    ).toMatchObject({
      code: 'BPF_EINVAL',
      subject: 'x',
      fn: 'bpf_map_create',
    })
  })

  it('says what it is', () => {
    using map = BpfMap.create({
      type: MapType.HASH,
      name: 'a_name_longer_than_15',
      keySize: 8,
      valueSize: 12,
      maxEntries: 7,
      flags: MapFlag.NO_PREALLOC,
    })
    expect(map.info()).toMatchObject({
      type: MapType.HASH,
      keySize: 8,
      valueSize: 12,
      maxEntries: 7,
      flags: 1,
      name: 'a_name_longer_t',
    })
    using same = BpfMap.openById(map.info().id)
    expect(same.info()).toEqual(map.info())
  })

  it('per-cpu values have a slot for each possible cpu', () => {
    using map = hash(4, MapType.PERCPU_HASH)
    expect(map.valueStride).toBe(8 * possibleCpus())
    const value = Buffer.alloc(map.valueStride)
    for (let cpu = 0; cpu < possibleCpus(); cpu++) value.writeUInt32LE(100 + cpu, 8 * cpu)
    map.update(u32(1), value)
    map.updateBatch(u32s([2, 3]), Buffer.concat([value, value]), 2)
    expect(map.lookup(u32(3))).toEqual(value)
    expect(map.dump().values).toEqual(Buffer.concat([value, value, value]))
  })
})

describe('batches', () => {
  it('20 000 entries go in, come out and are deleted, in several system calls', () => {
    using map = hash(20_000)
    const keys = u32s(Array.from({ length: 20_000 }, (_, i) => i))
    map.updateBatch(keys, keys, 20_000)
    const dump = map.dump()
    expect(dump.count).toBe(20_000)
    expect(dump.keys.equals(dump.values)).toBe(true)
    expect(new Set(contents(map).map(([key]) => key)).size).toBe(20_000)
    expect(map.deleteBatch(keys, 20_000)).toBe(20_000)
    expect(map.dump().count).toBe(0)
  })

  it('a full map stops the batch and says how far it came', () => {
    using map = hash(100)
    const keys = u32s(Array.from({ length: 150 }, (_, i) => i))
    const error = caught(() => map.updateBatch(keys, keys, 150))
    expect(error).toMatchObject({ code: 'BPF_E2BIG', done: 100 })
    expect(error.message).toContain('100 entries done')
    expect(contents(map)).toHaveLength(100)
  })

  it('a second chunk that fails counts the first', () => {
    using map = hash(10_000)
    const keys = u32s(Array.from({ length: 12_000 }, (_, i) => i))
    expect(caught(() => map.updateBatch(keys, keys, 12_000)).done).toBe(10_000)
  })

  it('missing keys are skipped by a delete, wherever they are', () => {
    using map = hash(100)
    map.updateBatch(u32s([1, 2, 3, 4]), u32s([1, 2, 3, 4]), 4)
    expect(map.deleteBatch(u32s([9, 1, 8, 7, 3, 6]), 6)).toBe(2)
    expect(contents(map).map(([key]) => key)).toEqual([2, 4])
  })

  it('NOEXIST goes one by one and stops at the first that exists', () => {
    using map = hash(10)
    map.update(u32(3), u32(0))
    const error = caught(() => map.updateBatch(u32s([1, 2, 3, 4]), u32s([1, 2, 3, 4]), 4, Update.NOEXIST))
    expect(error).toMatchObject({ code: 'BPF_EEXIST', done: 2 })
    expect(contents(map)).toEqual([
      [1, 1],
      [2, 2],
      [3, 0],
    ])
  })

  it('a type without batches is walked key by key', () => {
    const DEVMAP_HASH = 25
    using map = hash(4, DEVMAP_HASH)
    map.updateBatch(u32s([7, 8]), u32s([1, 1]), 2)
    expect(contents(map)).toEqual([
      [7, 1],
      [8, 1],
    ])
    expect(map.deleteBatch(u32s([7, 5]), 2)).toBe(1)
    expect(map.dump().count).toBe(1)
  })

  it('prefixes of an LPM trie', () => {
    using map = BpfMap.create({
      type: MapType.LPM_TRIE,
      name: 'lpm',
      keySize: 8,
      valueSize: 4,
      maxEntries: 16,
      flags: MapFlag.NO_PREALLOC,
    })
    const prefix = (length: number, ...address: number[]): Buffer => Buffer.from([length, 0, 0, 0, ...address])
    map.updateBatch(Buffer.concat([prefix(8, 10, 0, 0, 0), prefix(16, 10, 1, 0, 0)]), u32s([1, 2]), 2)
    expect(map.lookup(prefix(32, 10, 1, 2, 3))?.readUInt32LE()).toBe(2)
    expect(map.lookup(prefix(32, 10, 9, 2, 3))?.readUInt32LE()).toBe(1)
    expect(map.dump().count).toBe(2)
    expect(caught(() => map.update(prefix(33, 1, 1, 1, 1), u32(1))).code).toBe('BPF_EINVAL')
  })

  it('an array is dumped whole, and its elements cannot be deleted', () => {
    using map = hash(5, MapType.ARRAY)
    map.updateBatch(u32s([1, 4]), u32s([11, 44]), 2)
    expect(contents(map)).toEqual([
      [0, 0],
      [1, 11],
      [2, 0],
      [3, 0],
      [4, 44],
    ])
    expect(caught(() => map.deleteBatch(u32s([1]), 1)).code).toBe('BPF_EINVAL')
  })

  it('large values go in chunks that fit', () => {
    using map = BpfMap.create({
      type: MapType.HASH,
      name: 'large',
      keySize: 4,
      valueSize: 65_524,
      maxEntries: 200,
      flags: MapFlag.NO_PREALLOC,
    })
    const keys = u32s(Array.from({ length: 200 }, (_, i) => i))
    const values = Buffer.alloc(200 * 65_524, 7)
    map.updateBatch(keys, values, 200)
    expect(map.dump().values.equals(values)).toBe(true)
  })

  it('do what a Map does, whatever the order of operations', () => {
    const pairs = fc.array(fc.tuple(fc.nat(40), fc.nat()), { maxLength: 30 })
    const step = fc.oneof(fc.record({ put: pairs }), fc.record({ remove: fc.array(fc.nat(40), { maxLength: 30 }) }))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        using map = hash(24)
        const model = new Map<number, number>()
        for (const s of steps) {
          if ('put' in s) {
            const fits = modelPut(model, s.put, 24)
            const run = (): void =>
              map.updateBatch(u32s(s.put.map(([k]) => k)), u32s(s.put.map(([, v]) => v)), s.put.length)
            if (fits === s.put.length) run()
            else expect(caught(run)).toMatchObject({ code: 'BPF_E2BIG', done: fits })
          } else {
            const present = s.remove.filter((key) => model.delete(key)).length
            expect(map.deleteBatch(u32s(s.remove), s.remove.length)).toBe(present)
          }
          expect(contents(map)).toEqual([...model].sort((a, b) => a[0] - b[0]))
        }
      }),
      { numRuns: 60 },
    )
  })
})

/** Put pairs in order until the model is full; returns how many went in. */
function modelPut(model: Map<number, number>, pairs: readonly [number, number][], room: number): number {
  for (const [i, [key, value]] of pairs.entries()) {
    if (!model.has(key) && model.size >= room) return i
    model.set(key, value)
  }
  return pairs.length
}

it('200 000 calls in one loop do not grow the process', () => {
  using map = hash(1000)
  const key = Buffer.alloc(4)
  const value = Buffer.alloc(4)
  const loop = (count: number): void => {
    for (let i = 0; i < count; i++) {
      key.writeUInt32LE(i % 1000)
      value.writeUInt32LE(i)
      map.update(key, value)
    }
  }
  loop(10_000)
  const before = process.memoryUsage.rss()
  loop(200_000)
  expect((process.memoryUsage.rss() - before) / 2 ** 20).toBeLessThan(40)
  expect(map.lookup(u32(999))?.readUInt32LE()).toBe(199_999)
  expect(errnoName(524)).toBe('ENOTSUPP')
})
