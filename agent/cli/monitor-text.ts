import type { MonitorEvent } from '../types/monitor.ts'

/** One line per event: a mark, what happened and where, then the packet. */
export function eventLine(event: MonitorEvent): string {
  if (event.type === 'lost') return `!! lost ${event.count} events\n`
  const where = event.interface === undefined ? event.direction : `${event.direction} ${event.interface}`
  const packet = `${event.source} -> ${event.destination} ${event.protocol.toLowerCase()}`
  const size = event.length === 0 ? '' : `, ${event.length} bytes`
  if (event.type === 'drop') return `xx drop (${event.reason}) ${where}: ${packet}${size}\n`
  const flags = event.flags === '' ? '' : ` ${event.flags}`
  const mark = event.point === 'to-backend' ? '->' : '<-'
  const after = `${event.newSource} -> ${event.newDestination}`
  return `${mark} ${event.point} via ${event.via} ${where}: ${packet}${flags} as ${after}${size}\n`
}
