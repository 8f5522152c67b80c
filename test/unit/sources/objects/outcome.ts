import type { Converted } from '../../../../agent/sources/objects/fields.ts'
import { formatPath } from '../../../../agent/sources/objects/fields.ts'

/** The row, or a failure that says what was refused. */
export function rowOf<T>(converted: Converted<T>): T {
  if ('row' in converted) return converted.row
  throw new Error(`no row: ${JSON.stringify(converted)}`)
}

/** `spec.ports[0].port: 0 is not a port (1-65535)` for each fault; none when the object was taken. */
export function faultsOf(converted: Converted<unknown>): string[] {
  if (!('refused' in converted)) return []
  return converted.refused.map((fault) => `${formatPath(fault.path)}: ${fault.message}`)
}
