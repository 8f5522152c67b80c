import type { ServerResponse } from 'node:http'
import type { MonitorEvent, MonitorFeed, MonitorType } from '../types/monitor.ts'
import { MONITOR_TYPES } from '../types/monitor.ts'
import { ApiRequestError } from './errors.ts'

export const MONITOR_PATH = '/v1/monitor'
/** Response header: the kinds that are told. */
export const MONITOR_HEADER = 'weft-monitor-types'

/** A listener that does not read has its events counted instead of kept. */
const QUEUE_BYTES = 1 << 20

/** The kinds that `query` asks for and the feed has. @throws ApiRequestError when there are none */
export function monitorTypes(feed: MonitorFeed, query: URLSearchParams): MonitorType[] {
  const asked = query.get('type')?.split(',') ?? [...MONITOR_TYPES]
  const unknown = asked.find((type) => !(MONITOR_TYPES as readonly string[]).includes(type))
  if (unknown !== undefined) {
    throw new ApiRequestError(400, 'bad-event-type', `no event is a ${unknown}`, `types: ${MONITOR_TYPES.join(', ')}`)
  }
  const types = feed.types.filter((type) => asked.includes(type))
  if (types.length > 0) return types
  throw new ApiRequestError(
    409,
    'trace-off',
    'the programs of this agent do not trace packets',
    'start the agent with --monitor-trace (monitorTrace: true): every packet of a service then costs a little more',
  )
}

/** Events as lines of JSON until the connection ends. */
export function streamEvents(feed: MonitorFeed, types: readonly MonitorType[], response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson', [MONITOR_HEADER]: types.join(',') })
  response.flushHeaders()
  let lost = 0
  const stop = feed.listen(types, (events) => {
    if (response.writableLength > QUEUE_BYTES) {
      lost += events.reduce((sum, event) => sum + (event.type === 'lost' ? event.count : 1), 0)
      return
    }
    const gap: MonitorEvent[] = lost === 0 ? [] : [{ type: 'lost', time: new Date().toISOString(), count: lost }]
    lost = 0
    response.write([...gap, ...events].map((event) => `${JSON.stringify(event)}\n`).join(''))
  })
  response.once('close', stop)
}
