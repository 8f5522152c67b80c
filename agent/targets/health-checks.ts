import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { WeftError } from '../lib/errors.ts'
import type { Failures, Target } from '../reconcile/target.ts'
import { NO_FAILURES } from '../reconcile/target.ts'
import type { HealthCheck, NodeHealth } from '../types/health-check.ts'

/** A port that could not be listened on. */
export class HealthCheckError extends WeftError {}

interface Served {
  check: HealthCheck
  readonly server: Server
}

/**
 * HTTP servers that answer health checks as kube-proxy does: status, headers and body are what balancers and their operators
 * know. One server for each check; a change of the numbers changes its answer, a change of the port opens the new one before the
 * old one is closed.
 */
export class HealthCheckTarget implements Target<HealthCheck> {
  readonly name = 'health-checks'
  readonly #node: () => NodeHealth
  readonly #served = new Map<string, Served>()

  constructor(node: () => NodeHealth) {
    this.#node = node
  }

  load(): Promise<ReadonlyMap<string, HealthCheck>> {
    const listening = [...this.#served].filter(([, { server }]) => server.listening)
    return Promise.resolve(new Map(listening.map(([key, { check }]) => [key, check])))
  }

  async set(batch: readonly (readonly [key: string, value: HealthCheck])[]): Promise<Failures> {
    const failures = new Map<string, Error>()
    for (const [key, check] of batch) {
      const old = this.#served.get(key)
      if (old?.server.listening === true && samePlace(old.check, check)) {
        old.check = check
        continue
      }
      try {
        this.#served.set(key, await this.#serve(check))
        if (old !== undefined) close(old.server)
      } catch (error) {
        failures.set(key, refused(check, error))
      }
    }
    return failures
  }

  delete(keys: readonly string[]): Promise<Failures> {
    for (const key of keys) {
      const served = this.#served.get(key)
      if (served === undefined) continue
      this.#served.delete(key)
      close(served.server)
    }
    return Promise.resolve(NO_FAILURES)
  }

  equals(a: HealthCheck, b: HealthCheck): boolean {
    return (
      samePlace(a, b) &&
      a.localEndpoints === b.localEndpoints &&
      a.service?.namespace === b.service?.namespace &&
      a.service?.name === b.service?.name
    )
  }

  /** Nothing answers any more: without an agent nobody knows how the node stands. */
  async close(): Promise<void> {
    await this.delete([...this.#served.keys()])
  }

  async #serve(check: HealthCheck): Promise<Served> {
    const server = createServer((request, response) => {
      if (served.check.service === undefined) answerNode(this.#node(), request, response)
      else answerService(served.check, this.#node().healthy, response)
    })
    const served: Served = { check, server }
    const { host, port } = check
    server.listen({ port, ...(host === undefined ? {} : { host }) })
    await once(server, 'listening')
    // An error of a server that listens is one of accepting: the next connection may do better.
    server.on('error', () => undefined)
    return served
  }
}

function samePlace(a: HealthCheck, b: HealthCheck): boolean {
  return a.host === b.host && a.port === b.port
}

function close(server: Server): void {
  server.close()
  server.closeAllConnections()
}

function refused(check: HealthCheck, cause: unknown): HealthCheckError {
  const { service, port } = check
  const whose = service === undefined ? 'of the node' : `of service ${service.namespace}/${service.name}`
  return new HealthCheckError('health-check-not-served', `health checks ${whose} are not answered on port ${port}`, {
    hint:
      service === undefined
        ? 'stop what listens there (another kube-proxy?), or name another address with healthzServeAddr, or none'
        : 'stop what listens there, or give the service another healthCheckNodePort; it is tried again',
    cause,
  })
}

function say(
  response: ServerResponse,
  status: number,
  body: string,
  more: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': Buffer.byteLength(body),
    ...more,
  })
  response.end(body)
}

/** Whatever the path. */
function answerService(check: HealthCheck, healthy: boolean, response: ServerResponse): void {
  const { service, localEndpoints } = check
  const good = localEndpoints > 0 && healthy
  const body = JSON.stringify({ service, localEndpoints, serviceProxyHealthy: healthy }, undefined, '\t')
  say(response, good ? 200 : 503, body, { 'X-Load-Balancing-Endpoint-Weight': String(localEndpoints) })
}

/** A node that is about to go is no reason to restart what runs on it: /livez does not tell. */
function answerNode(node: NodeHealth, request: IncomingMessage, response: ServerResponse): void {
  const path = request.url?.replace(/\?.*$/, '')
  if (path !== '/healthz' && path !== '/livez') {
    return say(response, 404, '404 page not found\n', { 'Content-Type': 'text/plain; charset=utf-8' })
  }
  const live = path === '/livez'
  const good = node.healthy && (live || node.eligible)
  const updated = goTime(good ? node.now : node.lastUpdated)
  const eligible = live ? '' : `, "nodeEligible": ${node.eligible}`
  say(response, good ? 200 : 503, `{"lastUpdated": "${updated}","currentTime": "${goTime(node.now)}"${eligible}}`)
}

/** As Go prints a time. */
function goTime(date: Date): string {
  return `${date.toISOString().replace('T', ' ').replace('Z', '')} +0000 UTC`
}
