import type { Command } from 'commander'
import { Option } from 'commander'
import { existsSync } from 'node:fs'
import type { Api } from '../../api/client.ts'
import { ApiClientError } from '../../api/errors.ts'
import type { ExplainReport, ExporterReport } from '../../api/types.ts'
import type { CliContext } from '../context.ts'
import { contextApiserverSocket } from '../contexts.ts'

/** How other clusters get at this one, as far as it can be told from here. */
export interface Access {
  /** The Service of the exporter's etcd, where this cluster has one. */
  readonly service?: { readonly type: string }
  /** `host:port` for other clusters; empty when nobody said. */
  readonly endpoints: readonly string[]
  /** What answers on the exporter's socket; absent where there is no such socket. */
  readonly apiserver?: {
    readonly ready: boolean
    /** Why it is not ready, or what else is wrong with it. */
    readonly problems: readonly string[]
  }
}

export interface AccessSources {
  readonly agent: Api
  readonly exporter: Api
  /** The socket that `exporter` asks. */
  readonly exporterSocket: string
  /** The agent's; what is found on disk about another cluster is not taken for it. */
  readonly clusterName: string
}

const DEFAULT_SOCKET = '/run/weft/clustermesh-apiserver.sock'
/** Where the Service of the exporter's etcd is, and what it and the exporter are called. */
export const NAMESPACE = 'kube-system'
export const APISERVER = 'clustermesh-apiserver'

export function apiserverSocketOption(context: CliContext): Option {
  return new Option(
    '--apiserver-socket <path>',
    'unix socket of the clustermesh-apiserver (env WEFT_APISERVER_SOCKET)',
  ).default(context.env['WEFT_APISERVER_SOCKET'] || DEFAULT_SOCKET)
}

/** The exporter is asked where the agent is: beside it, or in its context. */
export function exporterSocketOf(context: CliContext, command: Command): string {
  const { context: name, apiserverSocket } = command.optsWithGlobals<{ context?: string; apiserverSocket: string }>()
  return name === undefined ? apiserverSocket : contextApiserverSocket(context.env, name)
}

/** The Service says most, then what was exported last (`export-join`), then the etcd that the exporter writes to. */
export async function accessOf(sources: AccessSources): Promise<Access> {
  const [explained, exported, exporter] = await Promise.all([
    serviceOf(sources.agent),
    exportedEndpoints(sources),
    exporterOf(sources),
  ])
  const type = typeOf(explained)
  const told = [serviceEndpoints(explained), exported, exporterEndpoints(exporter?.report)]
  return {
    ...(type === undefined ? {} : { service: { type } }),
    endpoints: told.find((endpoints) => endpoints.length > 0) ?? [],
    ...(exporter === undefined ? {} : { apiserver: { ready: exporter.ready, problems: exporter.problems } }),
  }
}

async function serviceOf(agent: Api): Promise<ExplainReport | undefined> {
  try {
    return await agent.explain(NAMESPACE, APISERVER)
  } catch (error) {
    if (error instanceof ApiClientError) return undefined
    throw error
  }
}

/** A Service has its other types' frontends, too: the one that reaches furthest names it. */
function typeOf(explained: ExplainReport | undefined): string | undefined {
  const types = explained?.frontends.map(({ type }) => type) ?? []
  return ['LoadBalancer', 'NodePort', 'ClusterIP'].find((type) => types.includes(type))
}

function serviceEndpoints(explained: ExplainReport | undefined): string[] {
  const type = typeOf(explained)
  if (explained === undefined || type === 'ClusterIP') return []
  const found = explained.frontends.filter((each) => each.type === type && !each.address.startsWith('0.0.0.0:'))
  return [...new Set(found.map(({ address }) => address.replace(/\/.*$/, '')))]
}

/** What the last export left in the directory of the running agent. */
async function exportedEndpoints({ agent, clusterName }: AccessSources): Promise<string[]> {
  const config = await agent.config().catch((error: unknown) => {
    if (error instanceof ApiClientError) return []
    throw error
  })
  const directory = config.find(({ key }) => key === 'clustermeshConfig')?.value
  if (typeof directory !== 'string') return []
  const { readOwn } = await import('../../peering/directory.ts')
  const own = await readOwn(directory)
  return own?.facts.cluster.name === clusterName ? own.facts.endpoints.map(hostPort) : []
}

interface Asked {
  readonly ready: boolean
  readonly problems: readonly string[]
  readonly report?: ExporterReport
}

async function exporterOf({ exporter, exporterSocket }: AccessSources): Promise<Asked | undefined> {
  if (!existsSync(exporterSocket)) return undefined
  const report = await askExporter(exporter)
  if (report instanceof ApiClientError) return { ready: false, problems: [report.message] }
  return { ready: report.ready, problems: report.problems.map(({ message }) => message), report }
}

/** Its report, or why there is none. */
export async function askExporter(exporter: Api): Promise<ExporterReport | ApiClientError> {
  try {
    return (await exporter.status()) as unknown as ExporterReport
  } catch (error) {
    if (error instanceof ApiClientError) return error
    throw error
  }
}

/** `host:port` of the etcd that the exporter writes to; only those that another machine could use. */
export function exporterEndpoints(report: ExporterReport | undefined): string[] {
  const all = (report?.etcd ?? []).map(hostPort)
  return all.filter((endpoint) => !/^(127\.|localhost:|\[::1\])/.test(endpoint))
}

export function hostPort(url: string): string {
  return url.replace(/^https?:\/\//, '')
}
