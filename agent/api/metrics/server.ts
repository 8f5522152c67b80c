import { once } from 'node:events'
import type { Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { Clock } from '../../lib/clock.ts'
import { describeError } from '../../lib/errors.ts'
import { parseListenAddress } from '../../lib/listen-address.ts'
import type { Log } from '../../lib/log.ts'
import type { Problem } from '../../types/problem.ts'
import { closeServer } from '../server.ts'
import type { Sample } from './metric.ts'
import { CONTENT_TYPE, exposition } from './metric.ts'

/** How often an address that somebody else has is tried again. */
const RETRY_MS = 5000

export interface MetricsOptions {
  /** `host:port`, or `:port` for all addresses. */
  readonly address: string
  /** Called for every scrape. */
  readonly samples: () => Iterable<Sample> | Promise<Iterable<Sample>>
  /** The whole list, whenever it changes: metrics are no reason to stop. */
  readonly onProblems: (problems: readonly Problem[]) => void
  readonly clock: Clock
  readonly log: Log
}

/**
 * `GET /metrics` for Prometheus: samples of the moment, and what Node knows about the process (`process_`, `nodejs_`). An
 * address that cannot be had is a problem, and tried again until it can.
 */
export class MetricsServer {
  readonly #options: MetricsOptions
  readonly #process = new Registry()
  #server: Server | undefined
  #cancel: () => void = () => undefined
  #listening: Promise<void>
  #scrape: Promise<string> | undefined
  #closed = false

  private constructor(options: MetricsOptions) {
    this.#options = options
    collectDefaultMetrics({ register: this.#process })
    this.#listening = this.#listen()
  }

  /** Resolves when the address has been tried for the first time, however that went. */
  static async start(options: MetricsOptions): Promise<MetricsServer> {
    const server = new MetricsServer(options)
    await server.#listening
    return server
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancel()
    await this.#listening
    if (this.#server !== undefined) await closeServer(this.#server)
  }

  async #listen(): Promise<void> {
    const { address, clock, log, onProblems } = this.#options
    const server = createServer((request, response) => {
      if (request.method === 'GET' && request.url?.split('?')[0] === '/metrics') return void this.#answer(response)
      response.writeHead(404, { 'content-type': 'text/plain' }).end('metrics are at /metrics\n')
    })
    try {
      const { host, port } = parseListenAddress(address)
      server.listen({ port, ...(host === undefined ? {} : { host }) })
      await once(server, 'listening')
      server.on('error', (error) => log.error({ err: error }, 'the metrics server failed'))
      this.#server = server
      onProblems([])
      log.info({ address }, 'metrics are served')
    } catch (error) {
      const message = `metrics are not served on ${address}: ${describeError(error)}`
      log.warn({ err: error }, message)
      const hint = 'stop what listens there, or name another address with prometheusServeAddr; it is tried again'
      onProblems([{ code: 'metrics-not-served', message, hint }])
      if (this.#closed) return
      this.#cancel = clock.after(RETRY_MS, () => {
        this.#listening = this.#listen()
      })
    }
  }

  async #answer(response: ServerResponse): Promise<void> {
    try {
      // However many ask at once, the state is read once.
      this.#scrape ??= this.#read().finally(() => (this.#scrape = undefined))
      const text = await this.#scrape
      response.writeHead(200, { 'content-type': CONTENT_TYPE }).end(text)
    } catch (error) {
      this.#options.log.error({ err: error }, 'metrics could not be read')
      response.writeHead(500, { 'content-type': 'text/plain' }).end(`${describeError(error)}\n`)
    }
  }

  async #read(): Promise<string> {
    const samples = await this.#options.samples()
    return (await exposition(samples)) + (await this.#process.metrics())
  }
}
