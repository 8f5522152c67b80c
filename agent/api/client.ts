import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import type { MonitorEvent, MonitorType } from '../types/monitor.ts'
import { ApiClientError, isApiError } from './errors.ts'
import { MONITOR_HEADER, MONITOR_PATH } from './monitor.ts'
import type {
  ConfigValue,
  EndpointReport,
  ExplainReport,
  IdentityReport,
  NodeReport,
  ServiceReport,
  StatusReport,
} from './types.ts'

/** What commands ask of an agent. */
export interface Api {
  status(): Promise<StatusReport>
  services(): Promise<readonly ServiceReport[]>
  explain(namespace: string, name: string): Promise<ExplainReport>
  config(): Promise<readonly ConfigValue[]>
  nodes(): Promise<readonly NodeReport[]>
  identities(): Promise<readonly IdentityReport[]>
  endpoints(): Promise<readonly EndpointReport[]>
  /** Resolves when the agent ends the stream; rejects when it does not begin. */
  monitor(types: readonly MonitorType[], listener: MonitorListener): Promise<void>
}

export interface MonitorListener {
  /** The stream has begun; `told`: the kinds that this agent tells. */
  onStart(told: readonly MonitorType[]): void
  onEvent(event: MonitorEvent): void
  readonly signal: AbortSignal
}

const TIMEOUT_MS = 10_000

/** Talks to the agent behind a unix socket. Every method rejects with ApiClientError. */
export class ApiClient implements Api {
  readonly #socket: string

  constructor(socket: string) {
    this.#socket = socket
  }

  status(): Promise<StatusReport> {
    return this.#get('/v1/status')
  }

  services(): Promise<readonly ServiceReport[]> {
    return this.#get('/v1/services')
  }

  explain(namespace: string, name: string): Promise<ExplainReport> {
    return this.#get(`/v1/explain/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`)
  }

  config(): Promise<readonly ConfigValue[]> {
    return this.#get('/v1/config')
  }

  nodes(): Promise<readonly NodeReport[]> {
    return this.#get('/v1/nodes')
  }

  identities(): Promise<readonly IdentityReport[]> {
    return this.#get('/v1/identities')
  }

  endpoints(): Promise<readonly EndpointReport[]> {
    return this.#get('/v1/endpoints')
  }

  async monitor(types: readonly MonitorType[], listener: MonitorListener): Promise<void> {
    const path = `${MONITOR_PATH}?type=${types.join(',')}`
    const response = await this.#open(path, listener.signal)
    if (response.statusCode !== 200) {
      const chunks = await response.toArray()
      throw this.#refusal(path, response.statusCode ?? 0, Buffer.concat(chunks as Buffer[]).toString('utf8'))
    }
    listener.onStart(String(response.headers[MONITOR_HEADER]).split(',') as MonitorType[])
    let rest = ''
    try {
      for await (const chunk of response.setEncoding('utf8')) {
        const lines = (rest + String(chunk)).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) listener.onEvent(JSON.parse(line) as MonitorEvent)
      }
    } catch (error) {
      // An agent that ends resets the connection: an end like any other.
      if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET' && !listener.signal.aborted) throw error
    }
  }

  #open(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const outgoing = request({ socketPath: this.#socket, path, agent: false, signal }, resolve)
      outgoing.once('error', (error: NodeJS.ErrnoException) => reject(this.#connectionError(error)))
      outgoing.end()
    })
  }

  #refusal(path: string, status: number, text: string): ApiClientError {
    const body: unknown = text.startsWith('{') ? JSON.parse(text) : undefined
    if (isApiError(body)) return new ApiClientError(body.error.code, body.error.message, { hint: body.error.hint })
    return new ApiClientError('bad-answer', `${this.#socket} answered ${path} with HTTP status ${status}`)
  }

  async #get<T>(path: string): Promise<T> {
    const { status, text } = await this.#request(path)
    let body: unknown
    try {
      body = JSON.parse(text)
    } catch (cause) {
      throw new ApiClientError('bad-answer', `what answers on ${this.#socket} does not speak JSON`, {
        cause,
        hint: 'check that the socket belongs to a weft agent',
      })
    }
    if (status === 200) return body as T
    if (isApiError(body)) throw new ApiClientError(body.error.code, body.error.message, { hint: body.error.hint })
    throw new ApiClientError('bad-answer', `${this.#socket} answered ${path} with HTTP status ${status}`)
  }

  #request(path: string): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException): void => reject(this.#connectionError(error))
      const outgoing = request({ socketPath: this.#socket, path, agent: false, timeout: TIMEOUT_MS }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', fail)
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        )
      })
      outgoing.once('timeout', () => outgoing.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
      outgoing.once('error', fail)
      outgoing.end()
    })
  }

  #connectionError(cause: NodeJS.ErrnoException): ApiClientError {
    const socket = this.#socket
    switch (cause.code) {
      case 'ENOENT':
      case 'ECONNREFUSED':
      case 'ENOTSOCK':
        return new ApiClientError('no-agent', `no agent answers on ${socket}`, {
          hint: 'start one with "weft agent", or name its socket with --socket PATH or WEFT_SOCKET',
        })
      case 'EACCES':
      case 'EPERM':
        return new ApiClientError('no-permission', `no permission to open ${socket}`, {
          hint: 'run as root, or as a member of the group the socket belongs to',
        })
      case 'ETIMEDOUT':
        return new ApiClientError(
          'agent-silent',
          `the agent on ${socket} did not answer within ${TIMEOUT_MS / 1000} s`,
          {
            hint: 'it may be overloaded or stopped; its log tells',
          },
        )
      default:
        return new ApiClientError('api-failed', `the request to ${socket} failed`, { cause })
    }
  }
}
