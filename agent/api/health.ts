import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Log } from '../lib/log.ts'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { dirname } from 'node:path'
import { ApiSocketError } from './errors.ts'
import { closeServer, listenOrReplace } from './server.ts'

export interface HealthOptions {
  readonly ready: () => boolean
  /** On all addresses, for probes from outside; 0 or undefined: none. */
  readonly port: number | undefined
  readonly socket: string | undefined
  /** What else is answered on the socket, as JSON, by path. */
  readonly answers?: Readonly<Record<string, () => unknown>>
  readonly log: Log
}

/**
 * `GET /readyz`: 200 `Ready`, or 500 `NotReady`.
 *
 * @throws ApiSocketError when a port or socket cannot be listened on
 */
export async function startHealth(options: HealthOptions): Promise<{ close(): Promise<void> }> {
  const { port, socket, ready } = options
  const servers: Server[] = []
  const respond = (request: IncomingMessage, response: ServerResponse): void => {
    const known = request.method === 'GET' && request.url === '/readyz'
    const isReady = known && ready()
    response.writeHead(known ? (isReady ? 200 : 500) : 404, { 'content-type': 'text/plain' })
    response.end(known ? (isReady ? 'Ready\n' : 'NotReady\n') : 'Not found\n')
  }
  const close = async (): Promise<void> => {
    await Promise.all(servers.map(closeServer))
  }
  try {
    if (socket !== undefined) {
      mkdirSync(dirname(socket), { recursive: true, mode: 0o755 })
      const server = createServer((request, response) => {
        const give = request.method === 'GET' ? options.answers?.[request.url ?? ''] : undefined
        if (give === undefined) return respond(request, response)
        response.writeHead(200, { 'content-type': 'application/json' })
        response.end(`${JSON.stringify(give())}\n`)
      })
      await listenOrReplace(server, socket)
      servers.push(server)
    }
    if (port !== undefined && port !== 0) {
      const server = createServer(respond).listen(port)
      await once(server, 'listening')
      servers.push(server)
    }
  } catch (cause) {
    await close()
    if (cause instanceof ApiSocketError) throw cause
    throw new ApiSocketError('health-failed', `cannot answer readiness checks on port ${port} and socket ${socket}`, {
      hint: 'another program may hold them: name others with --health-port (0 for none) and --socket',
      cause,
    })
  }
  return { close }
}
