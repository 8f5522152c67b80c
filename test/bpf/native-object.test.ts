import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BpfMap, BpfObject, MapType } from '../../native/index.ts'
import { caught, type Fixture, frame, makeFixture, skb } from './native-fixture.ts'

let fixture: Fixture

beforeAll(() => {
  fixture = makeFixture()
})
afterAll(() => {
  fixture.close()
})

const good = { skipPrograms: ['broken'] }

describe('rodata', () => {
  it('changes what the program does, scalars and bytes alike', () => {
    using object = BpfObject.open(fixture.object, {
      ...good,
      rodata: { answer: 42, offset_ns: -300, mac: Buffer.from([0, 0, 0, 0, 0, 9]), wide: 10n ** 12n },
    }).load()
    using count = object.program('count')
    using hits = object.map('hits')
    const run = () => count.testRun({ data: frame(), ctx: skb(5) })
    expect(run().retval).toBe(42)
    run()
    const value = hits.lookup(Buffer.from([5, 0, 0, 0]))
    const { fields } = object.btf.struct('value')
    const at = (name: string): number => fields.find((f) => f.name === name)?.offset ?? -1
    expect(value?.readBigUInt64LE(at('count'))).toBe(10n ** 12n + 1n)
    expect(value?.readInt32LE(at('sign'))).toBe(-300)
    expect(value?.[at('in') + 2]).toBe(9)
  })

  it('refuses unknown names and values that do not fit', () => {
    expect(caught(() => BpfObject.open(fixture.object, { rodata: { nothing: 1 } }))).toMatchObject({
      code: 'BPF_NOT_FOUND',
      subject: 'nothing',
    })
    expect(caught(() => BpfObject.open(fixture.object, { rodata: { mode: 256 } })).code).toBe('BPF_ARGUMENT')
    expect(caught(() => BpfObject.open(fixture.object, { rodata: { offset_ns: 40000 } })).code).toBe('BPF_ARGUMENT')
    expect(caught(() => BpfObject.open(fixture.object, { rodata: { mac: 1 } })).code).toBe('BPF_ARGUMENT')
  })
})

describe('type information', () => {
  it('of a compiled object agrees with the compiler', () => {
    using object = BpfObject.open(fixture.object)
    const { size, fields } = object.btf.struct('value')
    expect(size).toBe(24)
    expect(fields.map((f) => [f.name, f.offset, f.size, f.type])).toEqual([
      ['count', 0, 8, '__u64'],
      ['in', 8, 6, 'struct inner'],
      ['sign', 16, 4, '__s32'],
      ['low', 20, 4, '__u32'],
      ['high', 20, 4, '__u32'],
    ])
    expect(fields[1]?.fields?.map((f) => [f.name, f.offset, f.count])).toEqual([
      ['a', 8, undefined],
      ['b', 10, 3],
    ])
    expect(fields[4]).toMatchObject({ bits: 28, bitOffset: 164 })
    expect(object.btf.maps().get('hits')).toEqual({ key: '__u32', value: 'struct value' })
    expect([...object.btf.variables('.rodata').keys()].sort()).toEqual(['answer', 'mac', 'mode', 'offset_ns', 'wide'])
    expect(object.mapNames).toContain('slots')
    expect(object.programNames).toContain('broken')
  })
})

describe('errors', () => {
  it('a refused program is named, with the verifier log', () => {
    using object = BpfObject.open(fixture.object)
    const error = caught(() => object.load())
    expect(error.subject).toBe('broken')
    expect(error.errnoName).toBe('EACCES')
    expect(error.verifierLog).toContain('invalid mem access')
    expect(error.message).toContain("bpf_object__load 'broken': EACCES")
    expect(error.verifierLog?.split('\n').length).toBeLessThanOrEqual(20)
  })

  it('missing file, foreign file, unknown names, use before load, use after close', () => {
    expect(caught(() => BpfObject.open('/nonexistent.o'))).toMatchObject({
      code: 'BPF_ENOENT',
      hint: 'build the objects: make bpf',
    })
    expect(caught(() => BpfObject.open('/etc/passwd')).code).toBe('BPF_FORMAT')
    const object = BpfObject.open(fixture.object, good)
    expect(caught(() => object.map('hits')).message).toContain('call load() first')
    object.load()
    expect(caught(() => object.map('none')).code).toBe('BPF_NOT_FOUND')
    expect(caught(() => object.program('none')).code).toBe('BPF_NOT_FOUND')
    object.close()
    object.close()
    expect(caught(() => object.load()).code).toBe('BPF_CLOSED')
  })

  it('maps outlive the object', () => {
    const object = BpfObject.open(fixture.object, good).load()
    using hits = object.map('hits')
    object.close()
    expect(hits.info().type).toBe(MapType.HASH)
  })
})

describe('pins', () => {
  it('pins at load, reuses at the next, and keeps contents', () => {
    const open = () => BpfObject.open(fixture.object, { ...good, pinRoot: fixture.bpffs })
    const pin = join(fixture.bpffs, 'hits')
    using first = open().load()
    using one = first.map('hits')
    expect(existsSync(pin)).toBe(true)
    first.program('count').testRun({ data: frame(), ctx: skb(77) })
    using second = open().load()
    using two = second.map('hits')
    expect(two.info().id).toBe(one.info().id)
    expect(two.lookup(Buffer.from([77, 0, 0, 0]))).toBeDefined()
    using pinned = BpfMap.openPinned(pin)
    expect(pinned.info().id).toBe(one.info().id)
  })

  it('names every field in which a pinned map differs', () => {
    const path = join(fixture.bpffs, 'other')
    using other = BpfMap.create({ type: MapType.HASH, name: 'other', keySize: 8, valueSize: 32, maxEntries: 64 })
    other.pin(path)
    const error = caught(() => BpfObject.open(fixture.object, { ...good, pins: { hits: path } }))
    expect(error.code).toBe('BPF_LAYOUT')
    expect(error.message).toContain('key_size is 8, the object wants 4')
    expect(error.message).not.toContain('max_entries')
    expect(error.hint).toContain('migrate')
    expect(caught(() => other.pin(path)).code).toBe('BPF_EEXIST')
  })

  it('takes maps and sizes from the caller', () => {
    using mine = BpfMap.create({ type: MapType.HASH, name: 'hits', keySize: 4, valueSize: 24, maxEntries: 10 })
    const options = { ...good, reuseMaps: { hits: mine } }
    expect(caught(() => BpfObject.open(fixture.object, options)).message).toContain('max_entries is 10')
    using object = BpfObject.open(fixture.object, { ...options, maxEntries: { hits: 10 } }).load()
    object.program('count').testRun({ data: frame(), ctx: skb(1) })
    expect(mine.dump().count).toBe(1)
    expect(object.map('hits').info().id).toBe(mine.info().id)
  })
})
