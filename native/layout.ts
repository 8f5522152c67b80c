import { mapTypeName } from './constants.ts'
import { BpfError } from './errors.ts'

/** The part of a map that must agree before a program may use an existing one. */
export type MapLayout = { type: number; keySize: number; valueSize: number; maxEntries: number; flags: number }

const FIELDS: readonly (keyof MapLayout)[] = ['type', 'keySize', 'valueSize', 'maxEntries', 'flags']
const LABEL: Readonly<Record<keyof MapLayout, string>> = {
  type: 'type',
  keySize: 'key_size',
  valueSize: 'value_size',
  maxEntries: 'max_entries',
  flags: 'map_flags',
}

/** `key_size is 4, the object wants 8` for each field that differs. */
export function layoutDifferences(existing: MapLayout, wanted: MapLayout): string[] {
  return FIELDS.filter((field) => existing[field] !== wanted[field]).map((field) => {
    const show = (value: number): string => (field === 'type' ? mapTypeName(value) : String(value))
    return `${LABEL[field]} is ${show(existing[field])}, the object wants ${show(wanted[field])}`
  })
}

/** Throws BPF_LAYOUT when an existing map cannot stand in for the one an object declares. */
export function checkLayout(name: string, where: string, existing: MapLayout, wanted: MapLayout): void {
  const differences = layoutDifferences(existing, wanted)
  if (differences.length === 0) return
  throw new BpfError({
    fn: 'BpfObject',
    code: 'BPF_LAYOUT',
    subject: name,
    reason: `the map ${where} has another layout: ${differences.join('; ')}`,
    hint: 'migrate its entries into a map of the new layout, or unlink the pin to start empty',
  })
}
