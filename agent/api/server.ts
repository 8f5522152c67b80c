import { once } from 'node:events'
import { mkdirSync, statSync, unlinkSync } from 'node:fs'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { MonitorFeed, MonitorType } from '../types/monitor.ts'
import { ApiRequestError, ApiSocketError } from './errors.ts'
import type { Answer } from './routes.ts'
import { MONITOR_PATH, monitorTypes, streamEvents } from './monitor.ts'
import { answer } from './routes.ts'
import type { ApiError } from './types.ts'
import type { AgentView } from './view.ts'

/** List items between two turns of the event loop: a long list must not hold up a service change. */
const ITEMS_PER_CHUNK = 128

export interface ApiOptions {
  /** Path of the unix socket; its directory is created. */
  readonly socket: string
  readonly view: AgentView
  /** Events for `weft monitor`; without it there are none. */
  readonly monitor?: MonitorFeed
  readonly log: Log
  /** Closes the server when aborted. */
  readonly signal?: AbortSignal
}

/**
 * Answers GET requests on a unix socket of mode 0660.
 *
 * @throws ApiSocketError `socket-in-use` when another agent answers there, `socket-not-ours` when the path is no socket,
 *   `socket-failed` for anything else.
 */
export async function startApi(options: ApiOptions): Promise<{ close(): Promise<void> }> {
  const { socket, log, signal } = options
  const server = createServer((request, response) => {
    respond(options, request, response).catch((error: unknown) => {
      log.warn({ path: request.url, err: describeError(error) }, 'an API answer was cut short')
      response.destroy()
    })
  })
  try {
    mkdirSync(dirname(socket), { recursive: true, mode: 0o755 })
    await listenOrReplace(server, socket)
  } catch (cause) {
    if (cause instanceof ApiSocketError) throw cause
    throw new ApiSocketError('socket-failed', `cannot listen on ${socket}`, {
      cause,
      hint: 'name a socket in a writable directory with --socket PATH or WEFT_SOCKET',
    })
  }
  server.on('error', (error) => log.error({ err: describeError(error) }, 'the API server failed'))
  log.info({ socket }, 'API is listening')

  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= closeServer(server))
  signal?.addEventListener('abort', () => void close(), { once: true })
  if (signal?.aborted) await close()
  return { close }
}

/** A socket file whose agent is dead is replaced; one that answers is left alone. */
export async function listenOrReplace(server: Server, socket: string): Promise<void> {
  try {
    await listen(server, socket)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    if (!statSync(socket).isSocket()) {
      throw new ApiSocketError('socket-not-ours', `${socket} exists and is not a socket`, {
        hint: 'remove the file, or name another path with --socket PATH or WEFT_SOCKET',
      })
    }
    if (await answers(socket)) {
      throw new ApiSocketError('socket-in-use', `another agent answers on ${socket}`, {
        hint: 'stop it first, or give this one its own --socket PATH',
      })
    }
    unlinkSync(socket)
    await listen(server, socket)
  }
}

async function listen(server: Server, socket: string): Promise<void> {
  // The bind happens inside listen(): under this mask the file never has a wider mode than 0660, not even for a moment.
  const mask = process.umask(0o117)
  try {
    server.listen(socket)
  } finally {
    process.umask(mask)
  }
  await once(server, 'listening')
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket)
    const settle = (alive: boolean): void => {
      probe.destroy()
      resolve(alive)
    }
    probe.once('connect', () => settle(true))
    // EAGAIN is a full backlog: somebody holds the socket.
    probe.once('error', (error: NodeJS.ErrnoException) => settle(error.code === 'EAGAIN'))
  })
}

export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

async function respond(options: ApiOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { view, monitor } = options
  let reply: Answer | { readonly events: MonitorFeed; readonly types: readonly MonitorType[] }
  try {
    if (request.method !== 'GET') {
      throw new ApiRequestError(
        405,
        'only-get',
        `${request.method} is not supported`,
        'this interface only reads: use GET',
      )
    }
    const url = new URL(request.url ?? '/', 'http://agent')
    if (monitor !== undefined && url.pathname === MONITOR_PATH) {
      reply = { events: monitor, types: monitorTypes(monitor, url.searchParams) }
    } else reply = answer(view, (request.url ?? '/').replace(/\?.*$/, ''))
  } catch (error) {
    const known = error instanceof ApiRequestError
    const body: ApiError = {
      error: {
        code: known ? error.code : 'internal',
        message: describeError(error),
        ...(known && error.hint !== undefined ? { hint: error.hint } : {}),
      },
    }
    response.writeHead(known ? error.status : 500, { 'content-type': 'application/json' })
    response.end(`${JSON.stringify(body)}\n`)
    return
  }
  if ('events' in reply) return streamEvents(reply.events, reply.types, response)
  response.writeHead(200, { 'content-type': 'application/json' })
  if ('items' in reply) await pipeline(listChunks(reply.items), response)
  else response.end(`${JSON.stringify(reply.value)}\n`)
}

async function* listChunks(items: Iterable<unknown>): AsyncGenerator<string> {
  let chunk: string[] = []
  let opening = '['
  for (const item of items) {
    chunk.push(JSON.stringify(item))
    if (chunk.length < ITEMS_PER_CHUNK) continue
    yield opening + chunk.join(',')
    opening = ','
    chunk = []
    await nextTurn()
  }
  yield chunk.length > 0 || opening === '[' ? `${opening}${chunk.join(',')}]\n` : ']\n'
}
