import { execFileSync } from 'node:child_process'
import { basename } from 'node:path'

/*
 * Prints agent/maps/layout.gen.ts: sizes, offsets, enums, map shapes and configuration variables, as the BTF of the built
 * objects has them. Usage: gen-layout OBJECT…
 */

interface BtfType {
  readonly id: number
  readonly kind: string
  readonly name: string
  readonly size?: number
  readonly type_id?: number
  readonly ret_type_id?: number
  readonly nr_elems?: number
  readonly members?: readonly { name: string; type_id: number; bits_offset: number }[]
  readonly values?: readonly { name: string; val: number }[]
  readonly vars?: readonly { type_id: number; offset: number; size: number }[]
}

interface Field {
  readonly name: string
  readonly offset: number
}

interface MapShape {
  readonly type: number
  readonly key: string
  readonly keySize: number
  readonly value: string
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

const POINTER_SIZE = 8

class Btf {
  private readonly types = new Map<number, BtfType>()

  constructor(object: string) {
    const text = execFileSync('bpftool', ['-j', 'btf', 'dump', 'file', object], {
      encoding: 'utf8',
      maxBuffer: 64 << 20,
    })
    for (const type of (JSON.parse(text) as { types: BtfType[] }).types) this.types.set(type.id, type)
  }

  all(kind: string): BtfType[] {
    return [...this.types.values()].filter((type) => type.kind === kind)
  }

  /** A type without its typedefs and qualifiers; undefined for void. */
  bare(id: number | undefined): BtfType | undefined {
    let type = id === undefined ? undefined : this.types.get(id)
    while (type !== undefined && ['TYPEDEF', 'CONST', 'VOLATILE', 'VAR'].includes(type.kind)) {
      type = type.type_id === undefined ? undefined : this.types.get(type.type_id)
    }
    return type
  }

  get(id: number): BtfType {
    const type = this.types.get(id)
    if (type === undefined) throw new Error(`BTF has no type ${id}`)
    return type
  }

  sizeOf(id: number | undefined): number {
    const type = this.bare(id)
    if (type === undefined) return 0
    if (type.kind === 'PTR') return POINTER_SIZE
    if (type.kind === 'ARRAY') return (type.nr_elems ?? 0) * this.sizeOf(type.type_id)
    return type.size ?? 0
  }

  /** Members with structs inside spread out: rw.saddr becomes rwSaddr. */
  fields(type: BtfType, prefix = '', base = 0): Field[] {
    return (type.members ?? []).flatMap((member) => {
      if (member.bits_offset % 8 !== 0) throw new Error(`${type.name}.${member.name}: bit fields are not supported`)
      const offset = base + member.bits_offset / 8
      const inner = this.bare(member.type_id)
      const name = camel(prefix === '' ? member.name : `${prefix}_${member.name}`)
      if (inner?.kind === 'STRUCT' && inner.name !== 'addr16') return this.fields(inner, name, offset)
      return [{ name, offset }]
    })
  }

  /** The maps a program object declares: each member of the variable in `.maps` says one thing about it. */
  maps(): [string, MapShape][] {
    return this.section('.maps').map((variable) => {
      const declared = this.bare(variable.type_id)
      const member = (name: string) =>
        this.bare(declared?.members?.find((candidate) => candidate.name === name)?.type_id)
      /* __uint(name, n) is a pointer to an array of n; __type(name, t) is a pointer to t. */
      const number = (name: string) => this.bare(member(name)?.type_id)?.nr_elems ?? 0
      const pointee = (name: string) => this.bare(member(name)?.type_id)
      const [key, value] = [pointee('key'), pointee('value')]
      const shape = {
        type: number('type'),
        key: key === undefined ? '' : typeName(key),
        keySize: this.sizeOf(key?.id),
        value: value === undefined ? '' : typeName(value),
        valueSize: this.sizeOf(value?.id),
        maxEntries: number('max_entries'),
        flags: number('map_flags'),
      }
      return [variable.name, shape]
    })
  }

  /** `cfg_*` variables of `.rodata` with their place in it. */
  config(): { size: number; variables: [string, { offset: number; size: number }][] } {
    const section = this.all('DATASEC').find((candidate) => candidate.name === '.rodata')
    const variables = (section?.vars ?? []).map((entry): [string, { offset: number; size: number }] => [
      this.get(entry.type_id).name,
      { offset: entry.offset, size: entry.size },
    ])
    return { size: section?.size ?? 0, variables: variables.filter(([name]) => name.startsWith('cfg_')) }
  }

  private section(name: string): BtfType[] {
    const section = this.all('DATASEC').find((candidate) => candidate.name === name)
    return (section?.vars ?? []).map((entry) => this.get(entry.type_id))
  }
}

function camel(name: string): string {
  return name.replace(/_(\w)/g, (_all, letter: string) => letter.toUpperCase())
}

function typeName(type: BtfType): string {
  return type.kind === 'STRUCT' ? pascal(type.name) : type.name
}

function pascal(name: string): string {
  const text = camel(name)
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** SVC_EXT_IP of svc_flag → EXT_IP: the words that all names share, of a single name the first one. */
function commonPrefix(names: readonly string[]): string {
  const words = names.map((name) => name.split('_').slice(0, -1))
  const first = words[0] ?? []
  const most = names.length === 1 ? 1 : first.length
  let shared = 0
  while (shared < most && words.every((list) => list[shared] === first[shared])) shared++
  return shared === 0 ? '' : `${first.slice(0, shared).join('_')}_`
}

function objectLiteral(entries: readonly [string, number][]): string {
  return entries.map(([name, value]) => `  ${name}: ${value},\n`).join('')
}

function printStruct(btf: Btf, type: BtfType): string {
  const fields = btf.fields(type).map((field): [string, number] => [field.name, field.offset])
  if (fields.some(([name]) => name === 'size')) throw new Error(`${type.name}: a field may not be called size`)
  return `/** struct ${type.name}: bytes in all, and where each field starts. */\nexport const ${pascal(type.name)} = {\n${objectLiteral([['size', type.size ?? 0], ...fields])}} as const\n`
}

function printEnum(type: BtfType): string {
  const values = type.values ?? []
  const prefix = commonPrefix(values.map((value) => value.name))
  const entries = values.map((value): [string, number] => [value.name.slice(prefix.length), value.val])
  return `/** enum ${type.name}. */\nexport const ${pascal(type.name)} = {\n${objectLiteral(entries)}} as const\n`
}

function byName<T>(entries: readonly [string, T][]): [string, T][] {
  return [...new Map(entries)].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}

function generate(paths: readonly string[]): string {
  const objects = paths.map((path): [string, Btf] => [basename(path, '.o'), new Btf(path)])
  const maps = byName(objects.flatMap(([, btf]) => btf.maps()))
  const wanted = new Set(maps.flatMap(([, map]) => [map.key, map.value]))
  const structs = byName(
    objects.flatMap(([object, btf]) =>
      btf
        .all('STRUCT')
        .filter((type) => wanted.has(pascal(type.name)) || (object === 'layout' && type.name !== '(anon)'))
        .map((type): [string, string] => [type.name, printStruct(btf, type)]),
    ),
  )
  const enums = byName(
    objects.flatMap(([, btf]) => btf.all('ENUM').map((type): [string, string] => [type.name, printEnum(type)])),
  )
  const configs = objects.filter(([, btf]) => btf.config().size > 0)

  const parts = [
    '/* Generated from the BTF of the built objects by `make -C bpf layout`. Do not edit. */\n',
    ...structs.map(([, text]) => text),
    ...enums.map(([, text]) => text),
    '/** Shape of each map as the programs declare it; the agent may choose another maxEntries. */\nexport const MAPS = {\n' +
      maps
        .map(
          ([name, map]) =>
            `  ${name}: {\n    name: '${name}',\n    type: ${map.type},\n    keySize: ${map.keySize},\n    valueSize: ${map.valueSize},\n    maxEntries: ${map.maxEntries},\n    flags: ${map.flags},\n  },\n`,
        )
        .join('') +
      '} as const\n',
    '/** Configuration variables in the .rodata of each object: byte offset and size. */\nexport const CONFIG = {\n' +
      configs
        .map(([name, btf]) => {
          const { size, variables } = btf.config()
          const lines = byName(variables).map(
            ([variable, at]) => `      ${variable}: { offset: ${at.offset}, size: ${at.size} },\n`,
          )
          return `  ${name}: {\n    size: ${size},\n    variables: {\n${lines.join('')}    },\n  },\n`
        })
        .join('') +
      '} as const\n',
  ]
  return parts.join('\n')
}

process.stdout.write(generate(process.argv.slice(2)))
