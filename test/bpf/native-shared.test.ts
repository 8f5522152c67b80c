import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BpfMap, BpfObject, MapFlag, MapType, RingBuffer } from '../../native/index.ts'
import { native } from '../../native/libbpf.ts'
import { retire } from '../../native/mapped.ts'
import { caught, type Fixture, frame, hash, makeFixture, skb, u32 } from './native-fixture.ts'

describe('what programs and this process share', () => {
  let fixture: Fixture
  let object: BpfObject
  beforeAll(() => {
    fixture = makeFixture()
    object = BpfObject.open(fixture.object, { skipPrograms: ['broken'] }).load()
  })
  afterAll(() => {
    object.close()
    fixture.close()
  })

  // A heap may begin there: node is a program at a fixed address on amd64, and the kernel draws the distance to its heap.
  it('memory at the lowest addresses a process can have is seen too', () => {
    const [at, length] = [0x20000, 0x1000]
    const [PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE] = [3, 0x100022]
    expect(native().mmap(at, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_FIXED_NOREPLACE, -1, 0)).toBe(at)
    native().writeBytes(at, Buffer.from('low'))
    expect(native().view(at, 3).toString()).toBe('low')
    retire(at, length)
  })

  it('a store into a mapped array is seen by lookups and programs, and the reverse', () => {
    using slots = object.map('slots')
    using mapped = slots.mmap()
    expect(mapped.stride).toBe(8)
    mapped.u32[(3 * mapped.stride) / 4] = 123
    expect(slots.lookup(u32(3))?.readUInt32LE()).toBe(123)
    using reader = object.program('read_slot')
    expect(reader.testRun({ data: frame() }).retval).toBe(123)
    slots.update(u32(7), u32(77))
    expect(mapped.at(7).readUInt32LE()).toBe(77)
    expect(caught(() => mapped.at(8)).code).toBe('BPF_ARGUMENT')
  })

  it('a closed mapping refuses, and an old view neither crashes nor reaches the map', () => {
    using slots = object.map('slots')
    const mapped = slots.mmap()
    const stale = mapped.bytes
    slots.update(u32(0), u32(5))
    mapped.close()
    mapped.close()
    expect(caught(() => mapped.u32).code).toBe('BPF_CLOSED')
    stale.writeUInt32LE(9, 0)
    expect(slots.lookup(u32(0))?.readUInt32LE()).toBe(5)
  })

  it('an array that is mapped as far as it is used grows in place', () => {
    const count = 1 << 20
    const shape = { type: MapType.ARRAY, name: 'large', keySize: 4, valueSize: 4, maxEntries: count }
    using large = BpfMap.create({ ...shape, flags: MapFlag.MMAPABLE })
    using mapped = large.mmap(0)
    const words = mapped.u32
    for (const last of [0, 1000, 400_000, count - 1]) {
      mapped.reach(last + 1)
      words[(last * mapped.stride) / 4] = last + 1
      expect(large.lookup(u32(last))?.readUInt32LE()).toBe(last + 1)
    }
    expect(words[(1000 * mapped.stride) / 4]).toBe(1001)
    mapped.reach(count + 1)
    expect(words).toHaveLength((count * mapped.stride) / 4)
  })

  it('only a mappable array is mapped', () => {
    using map = hash(4, MapType.ARRAY)
    expect(caught(() => map.mmap()).message).toContain('BPF_F_MMAPABLE')
  })

  it('ring buffer: order, discards, wrap-around, a throwing callback, close', () => {
    using events = object.map('events')
    using emit = object.program('emit')
    const ring = new RingBuffer(events)
    const marks: number[] = []
    const note = (data: Buffer, offset: number, length: number): void => {
      expect(length).toBe(12)
      marks.push(data.readUInt32LE(offset))
    }
    expect(ring.drain(note)).toBe(0)
    const sent = Array.from({ length: 1000 }, (_, i) => i + 100)
    for (const mark of sent) {
      emit.testRun({ data: frame(), ctx: skb(mark) })
      if (mark % 50 === 0) ring.drain(note)
    }
    ring.drain(note)
    expect(marks).toEqual(sent)

    for (const mark of [1, 13, 2]) emit.testRun({ data: frame(), ctx: skb(mark) })
    marks.length = 0
    expect(ring.drain(note)).toBe(2)
    expect(marks).toEqual([1, 2])

    for (const mark of [5, 6]) emit.testRun({ data: frame(), ctx: skb(mark) })
    expect(() =>
      ring.drain(() => {
        throw new Error('reader')
      }),
    ).toThrow('reader')
    marks.length = 0
    ring.drain(note)
    expect(marks).toEqual([6])
    ring.close()
    ring.close()
    expect(caught(() => ring.drain(note)).code).toBe('BPF_CLOSED')
    using map = hash(4)
    expect(caught(() => new RingBuffer(map)).code).toBe('BPF_ARGUMENT')
  })

  it('a test run gives verdict, packet and context back', () => {
    using count = object.program('count')
    const packet = frame(100)
    const result = count.testRun({ data: packet, ctx: skb(3), repeat: 10 })
    expect(result.retval).toBe(1)
    expect(result.data.equals(packet)).toBe(true)
    expect(result.ctx?.readUInt32LE(8)).toBe(3)
    expect(caught(() => count.testRun({ data: Buffer.alloc(2) }))).toMatchObject({
      code: 'BPF_EINVAL',
      subject: 'count',
    })
    expect(caught(() => count.testRun({ data: packet, dataOutSize: 10 })).code).toBe('BPF_ENOSPC')
    expect(count.section).toBe('tc')
  })

  it('a pinned map outlives its descriptor', () => {
    const path = join(fixture.bpffs, 'lasting')
    const map = hash(4)
    map.update(u32(1), u32(2))
    map.pin(path)
    map.close()
    using again = BpfMap.openPinned(path)
    expect(again.lookup(u32(1))?.readUInt32LE()).toBe(2)
    expect(caught(() => BpfMap.openPinned(`${path}-none`))).toMatchObject({
      code: 'BPF_ENOENT',
      subject: `${path}-none`,
    })
    expect(caught(() => again.pin('/tmp/not-bpffs/x')).hint).toContain('bpffs')
  })
})
