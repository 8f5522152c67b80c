import type { Command } from 'commander'
import type { Api } from '../api/client.ts'
import { ApiClientError } from '../api/errors.ts'
import type { StatusReport } from '../api/types.ts'
import { delay } from '../lib/clock.ts'
import { addCa } from './clustermesh-ca.ts'
import type { CliContext, Format } from './context.ts'
import { agentOf, formatOption, print } from './context.ts'
import { connectivityReport, renderConnectivity } from './connectivity.ts'
import { formatDuration, parseDuration } from './duration.ts'
import { CommandError } from './errors.ts'
import { addConnect, addDisconnect, addPreflight } from './mesh/connect.ts'
import { addExportJoin } from './mesh/export-join.ts'

const POLL_MS = 1000
const PROGRESS_MS = 5000

interface Options {
  readonly wait?: boolean
  readonly waitDuration: string
  readonly output: Format
}

export function addClusterMesh(program: Command, context: CliContext): void {
  const mesh = program
    .command('clustermesh')
    .summary('connected clusters')
    .description('Connections to other clusters.')
  mesh
    .command('status')
    .summary('whether the agent is connected to all clusters')
    .description('Show whether the agent is connected to all clusters. Exits with 1 when it is not.')
    .option('--wait', 'wait until all clusters are connected')
    .option('--wait-duration <duration>', 'how long --wait waits at most', '15m')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft clustermesh status
  weft clustermesh status --wait --wait-duration 1m
  weft clustermesh status -o json | jq .connectivity.connected`,
    )
    .action(async (options: Options, command: Command) => {
      const limit = parseDuration(options.waitDuration)
      const api = agentOf(context, command)
      const status = options.wait === true ? await waitForMesh(context, api, limit) : await api.status()
      const report = connectivityReport(status, await accessInformation(api))
      await print(context, options.output, report, renderConnectivity)
      if (report.connectivity.not_ready > 0) context.exitCode = 1
    })
  addExportJoin(mesh, context)
  addPreflight(mesh, context)
  addConnect(mesh, context)
  addDisconnect(mesh, context)
  addCa(mesh, context)
}

/** The mesh once all clusters are ready, or as it stands when time is up. An agent that does not run yet is waited for, too. */
async function waitForMesh(context: CliContext, api: Api, limitMs: number): Promise<StatusReport> {
  const { clock, signal } = context
  const start = clock.now()
  let nextProgress = start
  for (;;) {
    const status = await statusOrMissing(api)
    const missing = status instanceof ApiClientError
    if (!missing && status.clusterMesh.clusters.every((cluster) => cluster.ready)) return status
    const now = clock.now()
    if (now - start >= limitMs) {
      if (!missing) return status
      throw new CommandError('wait-timeout', `gave up after ${formatDuration((now - start) / 1000)}`, { cause: status })
    }
    if (now >= nextProgress) {
      const waited = formatDuration((now - start) / 1000)
      const what = missing ? status.message : '1 nodes are not ready'
      context.stderr(`⌛ Waiting (${waited}) for clusters to be connected: ${what}\n`)
      nextProgress = now + PROGRESS_MS
    }
    await delay(clock, Math.min(POLL_MS, limitMs - (now - start)), signal)
  }
}

async function statusOrMissing(api: Api): Promise<StatusReport | ApiClientError> {
  try {
    return await api.status()
  } catch (error) {
    if (error instanceof ApiClientError && error.code === 'no-agent') return error
    throw error
  }
}

/** Where this cluster was exported to be reached, from what the export left in the directory of the running agent. */
async function accessInformation(api: Api): Promise<string[]> {
  const config = await api.config().catch((error: unknown) => {
    // A kvstoremesh tells its status, and no more.
    if (error instanceof ApiClientError) return []
    throw error
  })
  const directory = config.find(({ key }) => key === 'clustermeshConfig')?.value
  if (typeof directory !== 'string') return []
  const { readOwn } = await import('../peering/directory.ts')
  const own = await readOwn(directory)
  return (own?.facts.endpoints ?? []).map((endpoint) => endpoint.replace(/^https?:\/\//, ''))
}
