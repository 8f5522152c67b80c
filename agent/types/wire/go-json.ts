/**
 * JSON as Go's `encoding/json` writes and reads it. Peers compare cluster-config byte by byte, so what we write has to be
 * equal to what they would write: fields in struct order, map keys sorted, `<`, `>`, `&` escaped.
 */

const ESCAPED = /[<>&\u2028\u2029]/g

export function goString(text: string): string {
  return JSON.stringify(text).replace(ESCAPED, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Go sorts map keys by their UTF-8 bytes; JavaScript's default order differs beyond the basic plane. */
export function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** Fields in the order given; undefined ones are left out (`omitempty`). Values are JSON text already. */
export function goStruct(fields: readonly (readonly [name: string, json: string | undefined])[]): string {
  const parts: string[] = []
  for (const [name, json] of fields) if (json !== undefined) parts.push(`"${name}":${json}`)
  return `{${parts.join(',')}}`
}

/** Sorted by key. Built by hand: an object literal would move keys that look like array indexes to the front. */
export function goMap<V>(entries: Iterable<readonly [string, V]>, value: (value: V) => string): string {
  const sorted = [...entries].sort((a, b) => compareUtf8(a[0], b[0]))
  return `{${sorted.map(([key, item]) => `${goString(key)}:${value(item)}`).join(',')}}`
}

/** `null` for an empty map, as Go writes one that was never made. */
export function goNullableMap(labels: Readonly<Record<string, string>>): string {
  const entries = Object.entries(labels)
  return entries.length === 0 ? 'null' : goMap(entries, goString)
}

export type JsonObject = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A field by name, ignoring letter case as Go does; undefined when absent or null. */
export function field(object: JsonObject, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name] ?? undefined
  const lower = name.toLowerCase()
  for (const key in object) {
    if (key.length === name.length && key.toLowerCase() === lower) return object[key] ?? undefined
  }
  return undefined
}

/** The value cannot be used as a record of its kind. Decoders throw it; whoever reads the wire turns it into a Problem. */
export class WireError extends Error {
  readonly code = 'mesh-record-refused'

  constructor(message: string, options?: { cause: unknown }) {
    super(message, options)
    this.name = 'WireError'
  }
}

/** Parses a JSON object; throws WireError for anything else. */
export function parseObject(text: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new WireError('is not JSON', { cause })
  }
  if (!isObject(value)) throw new WireError('is not a JSON object')
  return value
}

export function stringField(object: JsonObject, name: string): string {
  const value = field(object, name)
  if (value === undefined) return ''
  if (typeof value !== 'string') throw new WireError(`field ${name} is not a string`)
  return value
}

/** Absent counts as 0; anything but an unsigned 32-bit integer is refused. */
export function uint32Field(object: JsonObject, name: string): number {
  const value = field(object, name)
  if (value === undefined) return 0
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new WireError(`field ${name} is not an unsigned 32-bit number`)
  }
  return value
}

export function boolField(object: JsonObject, name: string): boolean {
  const value = field(object, name)
  if (value === undefined) return false
  if (typeof value !== 'boolean') throw new WireError(`field ${name} is not true or false`)
  return value
}

export function objectField(object: JsonObject, name: string): JsonObject {
  const value = field(object, name)
  if (value === undefined) return {}
  if (!isObject(value)) throw new WireError(`field ${name} is not an object`)
  return value
}

export function arrayField(object: JsonObject, name: string): readonly unknown[] {
  const value = field(object, name)
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new WireError(`field ${name} is not a list`)
  return value
}

export function stringMapField(object: JsonObject, name: string): Record<string, string> {
  const entries: [key: string, value: string][] = []
  for (const [key, value] of Object.entries(objectField(object, name))) {
    if (typeof value !== 'string') throw new WireError(`${name}["${key}"] is not a string`)
    entries.push([key, value])
  }
  // Not by assignment: a peer's key `__proto__` must become a key, not the prototype.
  return Object.fromEntries(entries)
}
