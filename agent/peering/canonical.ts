/**
 * One text for one value: keys sorted by code unit, no white space, as RFC 8785 has it for the values used here (objects,
 * lists, strings, whole numbers, booleans, null). A signature over it survives reformatting and reordering of a file, and
 * nothing else.
 *
 * @throws TypeError for numbers that have more than one spelling, and for what JSON cannot hold
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new TypeError(`not a whole number: ${value}`)
    return String(value === 0 ? 0 : value)
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object') throw new TypeError(`JSON has no ${typeof value}`)
  const object = value as Readonly<Record<string, unknown>>
  const fields = Object.keys(object)
    .filter((key) => object[key] !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(object[key])}`)
  return `{${fields.join(',')}}`
}
