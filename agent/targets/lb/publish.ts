import { WeftError } from '../../lib/errors.ts'
import { BpfError, Errno } from '../../../native/index.ts'
import type { FrontendRecord } from './record.ts'
import type { HashView } from './views.ts'
import { encodeKey, encodeValue, KEY_BYTES, nameOf, VALUE_BYTES } from './element.ts'
import { elementOf } from './record.ts'

/**
 * Writes the service elements in one batch; each is replaced as a whole. An element that fails keeps its old content and
 * the batch goes on behind it. `done` is called once per record.
 */
export function publish(
  map: HashView,
  records: readonly FrontendRecord[],
  done: (record: FrontendRecord, error: Error | undefined) => void,
): void {
  if (records.length === 0) return
  const keys = Buffer.alloc(records.length * KEY_BYTES)
  const values = Buffer.alloc(records.length * VALUE_BYTES)
  records.forEach((record, i) => {
    encodeKey(keys, i * KEY_BYTES, nameOf(record.frontend))
    encodeValue(values, i * VALUE_BYTES, elementOf(record))
  })
  let first = 0
  while (first < records.length) {
    const { written, error, fatal } = writeFrom(map, keys, values, first, records.length - first)
    for (const end = first + written; first < end; first++) done(records[first]!, undefined)
    if (error === undefined) return
    // Without a count nothing behind the failure was tried, and trying again would not help.
    const refused = fatal ? records.length - first : 1
    for (const end = first + refused; first < end; first++) done(records[first]!, error)
  }
}

interface Outcome {
  readonly written: number
  readonly error: Error | undefined
  readonly fatal: boolean
}

function writeFrom(map: HashView, keys: Buffer, values: Buffer, first: number, count: number): Outcome {
  try {
    map.updateBatch(keys.subarray(first * KEY_BYTES), values.subarray(first * VALUE_BYTES), count)
    return { written: count, error: undefined, fatal: false }
  } catch (error) {
    if (!(error instanceof BpfError) || error.done === undefined)
      return { written: 0, error: error as Error, fatal: true }
    return { written: error.done, error: error.errno === Errno.E2BIG ? mapFull(map, error) : error, fatal: false }
  }
}

function mapFull(map: HashView, cause: BpfError): WeftError {
  return new WeftError('map-full', `the service map is full: ${map.maxEntries} frontends`, {
    hint: 'raise the size of the service map, or remove services',
    cause,
  })
}
