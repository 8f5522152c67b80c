import type { ServiceName } from '../types/service.ts'
import { serviceName } from '../types/service.ts'
import { ApiRequestError } from './errors.ts'
import { explainReport } from './explain.ts'
import { endpointReports, identityReports, nodeReports, statusReport } from './model.ts'
import { serviceReports } from './services.ts'
import type { AgentView } from './view.ts'

/** What goes out: one JSON value, or a list that is computed while it is written. */
export type Answer = { readonly value: unknown } | { readonly items: Iterable<unknown> }

const LISTS: Readonly<Record<string, (view: AgentView) => Answer>> = {
  '/v1/healthz': () => ({ value: { status: 'ok' } }),
  '/v1/status': (view) => ({ value: statusReport(view) }),
  '/v1/services': (view) => ({ items: serviceReports(view) }),
  '/v1/config': (view) => ({ value: view.config }),
  '/v1/nodes': (view) => ({ items: nodeReports(view) }),
  '/v1/identities': (view) => ({ items: identityReports(view) }),
  '/v1/endpoints': (view) => ({ items: endpointReports(view) }),
}

const EXPLAIN = /^\/v1\/explain\/([^/]+)\/([^/]+)$/

/** @throws ApiRequestError when nothing answers to `path`, or the object is not known. */
export function answer(view: AgentView, path: string): Answer {
  const list = LISTS[path]
  if (list !== undefined) return list(view)
  const explain = EXPLAIN.exec(path)
  if (explain === null) {
    throw new ApiRequestError(
      404,
      'no-such-path',
      `nothing answers to ${path}`,
      `paths: ${Object.keys(LISTS).join(', ')}`,
    )
  }
  const name = serviceName(decode(explain[1]!), decode(explain[2]!))
  const report = explainReport(view, name)
  if (report === undefined) throw unknownService(view, name)
  return { value: report }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw new ApiRequestError(400, 'bad-path', `not a valid escape sequence: ${text}`, describe(cause))
  }
}

function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

function unknownService(view: AgentView, name: ServiceName): ApiRequestError {
  const wanted = name.slice(name.indexOf('/') + 1)
  for (const service of view.tables.services.values()) {
    if (service.name.slice(service.name.indexOf('/') + 1) !== wanted) continue
    return new ApiRequestError(
      404,
      'no-such-service',
      `no cluster has a service ${name}`,
      `did you mean ${service.name}?`,
    )
  }
  const hint = 'weft service list shows what there is; a refused manifest is reported by weft status'
  return new ApiRequestError(404, 'no-such-service', `no cluster has a service ${name}`, hint)
}
