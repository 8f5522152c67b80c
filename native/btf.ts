import { parseElf, stringAt, type ElfFile } from './elf.ts'
import { BpfError } from './errors.ts'

/** Kinds of BTF types (Documentation/bpf/btf.rst). */
const Kind = {
  INT: 1,
  PTR: 2,
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  FWD: 7,
  TYPEDEF: 8,
  VOLATILE: 9,
  CONST: 10,
  RESTRICT: 11,
  FUNC: 12,
  FUNC_PROTO: 13,
  VAR: 14,
  DATASEC: 15,
  FLOAT: 16,
  DECL_TAG: 17,
  TYPE_TAG: 18,
  ENUM64: 19,
} as const

type Member = { name: string; type: number; bitOffset: number; bits: number }
type SectionVar = { type: number; offset: number; size: number }
type Type = {
  kind: number
  name: string
  /** Size in bytes, or the id of the type referred to: which of them depends on the kind. */
  sizeOrType: number
  signed: boolean
  members: Member[]
  element: number
  count: number
  vars: SectionVar[]
}

/** One field of a struct. `type` is the C type's name with typedefs kept (`__u32`, `__be16`, `struct foo`). */
export type Field = {
  name: string
  offset: number
  /** Bytes of the whole field, arrays included. */
  size: number
  type: string
  signed: boolean
  /** Number of elements when the field is an array. */
  count?: number
  /** Width in bits when the field is a bit field; `bitOffset` counts from the start of the struct. */
  bits?: number
  bitOffset?: number
  /** Fields of a nested struct or union, offsets from the start of the outer struct. */
  fields?: Field[]
}

/** Layout of a struct or union. */
export type Layout = { name: string; size: number; fields: Field[] }

/** A global variable: where it lies in its section, and how it is to be written. */
export type Variable = {
  name: string
  section: string
  offset: number
  size: number
  type: string
  signed: boolean
  scalar: boolean
}

/** The type information of one BPF object. Immutable. */
export class Btf {
  private readonly types: readonly Type[]
  private readonly elf: ElfFile | undefined
  private readonly subject: string

  constructor(types: readonly Type[], elf: ElfFile | undefined, subject: string) {
    this.types = types
    this.elf = elf
    this.subject = subject
  }

  /** Layout of `struct name` or `union name`. Throws BPF_NOT_FOUND. */
  struct(name: string): Layout {
    const found = this.types.find((t) => t.name === name && (t.kind === Kind.STRUCT || t.kind === Kind.UNION))
    if (found === undefined) throw this.missing(`struct ${name}`)
    return { name, size: found.sizeOrType, fields: this.fields(found, 0) }
  }

  /** Names of all structs and unions that have one. */
  structNames(): string[] {
    const named = this.types.filter((t) => (t.kind === Kind.STRUCT || t.kind === Kind.UNION) && t.name !== '')
    return named.map((t) => t.name)
  }

  /** The global variables of a section (`.rodata`, `.bss`, `.data`), by name. Empty when the object has no such section. */
  variables(section: string): Map<string, Variable> {
    const result = new Map<string, Variable>()
    const datasec = this.types.find((t) => t.kind === Kind.DATASEC && t.name === section)
    const index = this.elf?.sections.find((s) => s.name === section)?.index
    for (const v of datasec?.vars ?? []) {
      const variable = this.type(v.type)
      const target = this.resolve(variable.sizeOrType)
      // The compiler leaves offsets of global variables 0 in BTF and tells them in the symbol table only.
      const symbol = this.elf?.objects.find((o) => o.section === index && o.name === variable.name)
      result.set(variable.name, {
        name: variable.name,
        section,
        offset: symbol?.offset ?? v.offset,
        size: this.sizeOf(variable.sizeOrType),
        type: this.typeName(variable.sizeOrType),
        signed: target.signed,
        scalar: target.kind === Kind.INT || target.kind === Kind.ENUM || target.kind === Kind.ENUM64,
      })
    }
    return result
  }

  /** For each map defined in `.maps`: the C types of its key and value, where the definition names them (`__type(key, …)`). */
  maps(): Map<string, { key?: string; value?: string }> {
    const result = new Map<string, { key?: string; value?: string }>()
    const datasec = this.types.find((t) => t.kind === Kind.DATASEC && t.name === '.maps')
    for (const v of datasec?.vars ?? []) {
      const variable = this.type(v.type)
      const entry: { key?: string; value?: string } = {}
      for (const member of this.resolve(variable.sizeOrType).members) {
        if (member.name !== 'key' && member.name !== 'value') continue
        const pointer = this.resolve(member.type)
        if (pointer.kind === Kind.PTR) entry[member.name] = this.typeName(pointer.sizeOrType)
      }
      result.set(variable.name, entry)
    }
    return result
  }

  private type(id: number): Type {
    const found = this.types[id]
    if (found === undefined) throw this.missing(`type ${id}`)
    return found
  }

  /** Follow typedefs and qualifiers to the type itself. */
  private resolve(id: number): Type {
    let t = this.type(id)
    while (isAlias(t.kind)) t = this.type(t.sizeOrType)
    return t
  }

  private sizeOf(id: number): number {
    const t = this.resolve(id)
    if (t.kind === Kind.PTR) return 8
    if (t.kind === Kind.ARRAY) return t.count * this.sizeOf(t.element)
    return t.sizeOrType
  }

  private typeName(id: number): string {
    const t = this.type(id)
    switch (t.kind) {
      case Kind.STRUCT:
        return `struct ${t.name}`
      case Kind.UNION:
        return `union ${t.name}`
      case Kind.PTR:
        return `${this.typeName(t.sizeOrType)} *`
      case Kind.ARRAY:
        return `${this.typeName(t.element)}[${t.count}]`
      case Kind.VOLATILE:
      case Kind.CONST:
      case Kind.RESTRICT:
      case Kind.TYPE_TAG:
        return this.typeName(t.sizeOrType)
      default:
        return t.name === '' ? 'void' : t.name
    }
  }

  private fields(owner: Type, base: number): Field[] {
    return owner.members.map((member) => {
      const target = this.resolve(member.type)
      const elementId = target.kind === Kind.ARRAY ? target.element : member.type
      const inner = this.resolve(elementId)
      const offset = base + Math.floor(member.bitOffset / 8)
      const field: Field = {
        name: member.name,
        offset,
        size: this.sizeOf(member.type),
        type: this.typeName(elementId),
        signed: inner.signed,
      }
      if (target.kind === Kind.ARRAY) field.count = target.count
      if (member.bits > 0) Object.assign(field, { bits: member.bits, bitOffset: base * 8 + member.bitOffset })
      if (inner.kind === Kind.STRUCT || inner.kind === Kind.UNION) field.fields = this.fields(inner, offset)
      return field
    })
  }

  private missing(what: string): BpfError {
    return new BpfError({
      fn: 'Btf',
      code: 'BPF_NOT_FOUND',
      subject: this.subject,
      reason: `${what} is not in its type information`,
      hint: 'a type must be used by a program or map of the object to be kept by the compiler',
    })
  }
}

function isAlias(kind: number): boolean {
  return (
    kind === Kind.TYPEDEF ||
    kind === Kind.VOLATILE ||
    kind === Kind.CONST ||
    kind === Kind.RESTRICT ||
    kind === Kind.TYPE_TAG
  )
}

/** The BTF of a BPF object file. Pure. Throws BPF_FORMAT when there is none. */
export function parseBtf(objectFile: Buffer, subject = 'object'): Btf {
  const elf = parseElf(objectFile, subject)
  const section = elf.sections.find((s) => s.name === '.BTF')
  if (section === undefined) {
    throw new BpfError({
      fn: 'parseBtf',
      code: 'BPF_FORMAT',
      subject,
      reason: 'no .BTF section',
      hint: 'compile with -g',
    })
  }
  return new Btf(parseBtfSection(section.data, subject), elf, subject)
}

/** Decode the raw bytes of a .BTF section. Type id 0 is void. */
export function parseBtfSection(data: Buffer, subject = 'object'): Type[] {
  try {
    return decode(data)
  } catch (cause) {
    throw new BpfError({ fn: 'parseBtf', code: 'BPF_FORMAT', subject, reason: 'damaged .BTF section', cause })
  }
}

function decode(data: Buffer): Type[] {
  if (data.readUInt16LE(0) !== 0xeb9f) throw new RangeError('bad magic')
  const header = data.readUInt32LE(4)
  const typesAt = header + data.readUInt32LE(8)
  const end = typesAt + data.readUInt32LE(12)
  const strings = data.subarray(header + data.readUInt32LE(16), header + data.readUInt32LE(16) + data.readUInt32LE(20))
  const types: Type[] = [emptyType(0, '', 0)]
  let at = typesAt
  while (at < end) {
    const info = data.readUInt32LE(at + 4)
    const length = info & 0xffff
    const type = emptyType((info >>> 24) & 0x1f, stringAt(strings, data.readUInt32LE(at)), data.readUInt32LE(at + 8))
    at += 12
    at += readTail(type, data, at, length, info >>> 31 === 1, strings)
    types.push(type)
  }
  return types
}

function emptyType(kind: number, name: string, sizeOrType: number): Type {
  return { kind, name, sizeOrType, signed: false, members: [], element: 0, count: 0, vars: [] }
}

/** Read what follows a type's 12-byte head; returns its length in bytes. */
function readTail(type: Type, data: Buffer, at: number, length: number, flag: boolean, strings: Buffer): number {
  switch (type.kind) {
    case Kind.INT:
      type.signed = (data.readUInt32LE(at) & (1 << 24)) !== 0
      return 4
    case Kind.ARRAY:
      type.element = data.readUInt32LE(at)
      type.count = data.readUInt32LE(at + 8)
      return 12
    case Kind.STRUCT:
    case Kind.UNION:
      for (let i = 0; i < length; i++) {
        const m = at + 12 * i
        const offset = data.readUInt32LE(m + 8)
        type.members.push({
          name: stringAt(strings, data.readUInt32LE(m)),
          type: data.readUInt32LE(m + 4),
          bitOffset: flag ? offset & 0xffffff : offset,
          bits: flag ? offset >>> 24 : 0,
        })
      }
      return 12 * length
    case Kind.ENUM:
      type.signed = flag
      return 8 * length
    case Kind.ENUM64:
      type.signed = flag
      return 12 * length
    case Kind.FUNC_PROTO:
      return 8 * length
    case Kind.VAR:
    case Kind.DECL_TAG:
      return 4
    case Kind.DATASEC:
      for (let i = 0; i < length; i++) {
        const v = at + 12 * i
        type.vars.push({ type: data.readUInt32LE(v), offset: data.readUInt32LE(v + 4), size: data.readUInt32LE(v + 8) })
      }
      return 12 * length
    default:
      if (type.kind === 0 || type.kind > Kind.ENUM64) throw new RangeError(`unknown kind ${type.kind}`)
      return 0
  }
}
