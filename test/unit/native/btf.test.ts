import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Btf, parseBtf, parseBtfSection } from '../../../native/btf.ts'
import { BpfError } from '../../../native/errors.ts'

/** Assembles a .BTF section as Documentation/bpf/btf.rst lays it out; type ids count from 1. */
class BtfWriter {
  private readonly body: number[] = []
  private strings = '\0'

  add(
    kind: number,
    name: string,
    length: number,
    sizeOrType: number,
    tail: readonly number[] = [],
    flag = false,
  ): this {
    const info = ((kind << 24) | length | (flag ? 0x8000_0000 : 0)) >>> 0
    this.body.push(this.name(name), info, sizeOrType, ...tail)
    return this
  }

  name(text: string): number {
    const at = this.strings.length
    this.strings += `${text}\0`
    return at
  }

  build(): Buffer {
    const types = words(this.body)
    const strings = Buffer.from(this.strings, 'latin1')
    const header = Buffer.alloc(24)
    header.writeUInt16LE(0xeb9f, 0)
    header[2] = 1
    header.writeUInt32LE(24, 4)
    header.writeUInt32LE(types.length, 12)
    header.writeUInt32LE(types.length, 16)
    header.writeUInt32LE(strings.length, 20)
    return Buffer.concat([header, types, strings])
  }
}

const words = (values: readonly number[]): Buffer => Buffer.from(new Uint32Array(values).buffer)
const INT = 1
const ARRAY = 3
const STRUCT = 4
const TYPEDEF = 8
const VOLATILE = 9
const CONST = 10
const VAR = 14
const DATASEC = 15

/** 1 `unsigned int`, 2 `__u32`, 3 `short` (signed), 4 `__u32[3]`, 5 struct inner, 6 struct outer, 7/8 const volatile __u32, 9 var, 10 datasec. */
function sample(): Buffer {
  const w = new BtfWriter()
  w.add(INT, 'unsigned int', 0, 4, [32])
  w.add(TYPEDEF, '__u32', 0, 1)
  w.add(INT, 'short', 0, 2, [(1 << 24) | 16])
  w.add(ARRAY, '', 0, 0, [2, 1, 3])
  w.add(STRUCT, 'inner', 1, 4, [w.name('port'), 3, 16])
  w.add(
    STRUCT,
    'outer',
    4,
    24,
    [w.name('id'), 2, 0, w.name('list'), 4, 32, w.name('in'), 5, 128, w.name('bits'), 1, (5 << 24) | 163],
    true,
  )
  w.add(VOLATILE, '', 0, 2)
  w.add(CONST, '', 0, 7)
  w.add(VAR, 'config', 0, 8, [1])
  w.add(DATASEC, '.rodata', 1, 8, [9, 4, 4])
  return w.build()
}

const btf = (): Btf => new Btf(parseBtfSection(sample()), undefined, 'sample')

describe('Btf', () => {
  it('gives offsets, sizes, signs, arrays, nested structs and bit fields', () => {
    expect(btf().struct('outer')).toEqual({
      name: 'outer',
      size: 24,
      fields: [
        { name: 'id', offset: 0, size: 4, type: '__u32', signed: false },
        { name: 'list', offset: 4, size: 12, type: '__u32', signed: false, count: 3 },
        {
          name: 'in',
          offset: 16,
          size: 4,
          type: 'struct inner',
          signed: false,
          fields: [{ name: 'port', offset: 18, size: 2, type: 'short', signed: true }],
        },
        { name: 'bits', offset: 20, size: 4, type: 'unsigned int', signed: false, bits: 5, bitOffset: 163 },
      ],
    })
    expect(btf().structNames()).toEqual(['inner', 'outer'])
  })

  it('gives variables of a section, through const and volatile', () => {
    expect([...btf().variables('.rodata').values()]).toEqual([
      { name: 'config', section: '.rodata', offset: 4, size: 4, type: '__u32', signed: false, scalar: true },
    ])
    expect(btf().variables('.bss').size).toBe(0)
  })

  it('says what is not there', () => {
    expect(() => btf().struct('nope')).toThrow("Btf 'sample': struct nope is not in its type information")
  })
})

describe('damaged input', () => {
  it('is refused with BPF_FORMAT, wherever it is cut or changed', () => {
    const whole = sample()
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), (at, byte, cut) => {
        const damaged = Buffer.from(cut ? whole.subarray(0, at) : whole)
        if (!cut) damaged[at] = byte
        try {
          parseBtfSection(damaged)
        } catch (error) {
          expect(error).toBeInstanceOf(BpfError)
          expect(error).toMatchObject({ code: 'BPF_FORMAT' })
        }
      }),
    )
  })

  it('names the file that is no object', () => {
    expect(() => parseBtf(Buffer.from('hello'), 'x.o')).toThrow("parseElf 'x.o': not an ELF file")
    const elf = Buffer.alloc(64)
    elf.writeUInt32BE(0x7f454c46, 0)
    elf[4] = 2
    elf[5] = 1
    expect(() => parseBtf(elf, 'x.o')).toThrow('not a 64-bit little-endian BPF object')
    elf.writeUInt16LE(247, 18)
    expect(() => parseBtf(elf, 'x.o')).toThrow('no .BTF section')
    elf.writeUInt16LE(5, 60)
    elf.writeUInt16LE(64, 58)
    expect(() => parseBtf(elf, 'x.o')).toThrow('truncated')
  })
})
