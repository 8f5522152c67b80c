import { BpfError } from './errors.ts'

const SHT_SYMTAB = 2
const STT_OBJECT = 1
const EM_BPF = 247

/** A section of an ELF object. */
export type ElfSection = { index: number; name: string; type: number; data: Buffer; link: number }

/** A data symbol: `offset` from the start of its section, in bytes. */
export type ElfSymbol = { name: string; section: number; offset: number; size: number }

/** The parts of a 64-bit little-endian BPF object file that weft reads. */
export type ElfFile = { sections: ElfSection[]; objects: ElfSymbol[] }

/** Read an ELF object. Pure. Throws BPF_FORMAT for anything that is not a complete BPF object. */
export function parseElf(file: Buffer, subject = 'object'): ElfFile {
  const bad = (reason: string, cause?: unknown): BpfError =>
    new BpfError({ fn: 'parseElf', code: 'BPF_FORMAT', subject, reason, hint: 'build the object again', cause })
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46) throw bad('not an ELF file')
  if (file[4] !== 2 || file[5] !== 1 || file.readUInt16LE(18) !== EM_BPF)
    throw bad('not a 64-bit little-endian BPF object')
  try {
    return readSections(file)
  } catch (cause) {
    throw bad('truncated', cause)
  }
}

function readSections(file: Buffer): ElfFile {
  const table = Number(file.readBigUInt64LE(40))
  const entry = file.readUInt16LE(58)
  const count = file.readUInt16LE(60)
  const namesIndex = file.readUInt16LE(62)
  const headers = Array.from({ length: count }, (_, i) => {
    const at = table + i * entry
    const offset = Number(file.readBigUInt64LE(at + 24))
    const size = Number(file.readBigUInt64LE(at + 32))
    const type = file.readUInt32LE(at + 4)
    const SHT_NOBITS = 8
    if (type !== SHT_NOBITS && offset + size > file.length) throw new RangeError(`section ${i} reaches past the end`)
    return {
      name: file.readUInt32LE(at),
      type,
      link: file.readUInt32LE(at + 40),
      data: file.subarray(offset, offset + size),
    }
  })
  const names = headers[namesIndex]?.data ?? Buffer.alloc(0)
  const sections = headers.map((h, index) => ({ ...h, index, name: stringAt(names, h.name) }))
  const symtab = sections.find((s) => s.type === SHT_SYMTAB)
  const strings = symtab === undefined ? undefined : sections[symtab.link]?.data
  const objects: ElfSymbol[] = []
  if (symtab !== undefined && strings !== undefined) {
    for (let at = 0; at + 24 <= symtab.data.length; at += 24) {
      if ((symtab.data.readUInt8(at + 4) & 0xf) !== STT_OBJECT) continue
      objects.push({
        name: stringAt(strings, symtab.data.readUInt32LE(at)),
        section: symtab.data.readUInt16LE(at + 6),
        offset: Number(symtab.data.readBigUInt64LE(at + 8)),
        size: Number(symtab.data.readBigUInt64LE(at + 16)),
      })
    }
  }
  return { sections, objects }
}

/** The NUL-terminated string at `offset` of a string table. */
export function stringAt(table: Buffer, offset: number): string {
  const end = table.indexOf(0, offset)
  return table.toString('utf8', offset, end < 0 ? table.length : end)
}
