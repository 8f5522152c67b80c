import { isDeepStrictEqual } from 'node:util'
import type { Writer } from '../../state/writer.ts'
import type { Rows } from './merge.ts'

/**
 * Writes the difference between two states, all of it in one turn of the event loop.
 *
 * What a service needs is written before it, and removed after it: no reader finds a new service without its backends.
 */
export function applyRows(writer: Writer, last: Rows, next: Rows): void {
  for (const row of changed(last.nodes, next.nodes)) writer.upsertNode(row)
  for (const row of changed(last.pods, next.pods)) writer.upsertPod(row)
  for (const row of changed(last.backends, next.backends)) writer.upsertBackends(row)
  for (const row of changed(last.services, next.services)) writer.upsertService(row)
  for (const row of gone(last.services, next.services)) writer.deleteService(row.name)
  for (const row of gone(last.backends, next.backends)) writer.deleteBackends(row.key)
  for (const row of gone(last.pods, next.pods)) writer.deletePod(row.key)
  for (const row of gone(last.nodes, next.nodes)) writer.deleteNode(row.key)
}

/**
 * Rows that are new or differ. An equal row is replaced by the one already written, so that the next comparison is one of
 * identity.
 */
function changed<T>(last: ReadonlyMap<string, T>, next: Map<string, T>): T[] {
  const rows: T[] = []
  for (const [key, row] of next) {
    const before = last.get(key)
    if (before === undefined || (before !== row && !isDeepStrictEqual(before, row))) rows.push(row)
    else next.set(key, before)
  }
  return rows
}

function gone<T>(last: ReadonlyMap<string, T>, next: ReadonlyMap<string, T>): T[] {
  return [...last].filter(([key]) => !next.has(key)).map(([, row]) => row)
}
