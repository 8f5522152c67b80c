import type { Command } from 'commander'
import { ApiClientError } from '../api/errors.ts'
import { delay } from '../lib/clock.ts'
import { addCa } from './clustermesh-ca.ts'
import type { CliContext, Format } from './context.ts'
import { agentOf, formatOption, print } from './context.ts'
import type { MeshStatus } from './connectivity.ts'
import { connectivityReport, renderConnectivity } from './connectivity.ts'
import { formatDuration, parseDuration } from './duration.ts'
import { CommandError } from './errors.ts'
import type { Access } from './mesh/access.ts'
import { accessOf, APISERVER, apiserverSocketOption, exporterSocketOf } from './mesh/access.ts'
import { addDisable, addEnable } from './mesh/enable.ts'
import { addVm } from './mesh/vm.ts'
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
    .addOption(apiserverSocketOption(context))
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft clustermesh status
  weft clustermesh status --wait --wait-duration 1m
  weft clustermesh status --context kind-west
  weft clustermesh status -o json | jq .connectivity.connected`,
    )
    .action(async (options: Options, command: Command) => {
      const limit = parseDuration(options.waitDuration)
      const look = lookBy(context, command)
      const { status, access } = options.wait === true ? await waitForMesh(context, look, limit) : await look()
      const report = connectivityReport(status, access)
      await print(context, options.output, report, renderConnectivity)
      if (report.connectivity.not_ready > 0 || report.apiserver?.ready === false) context.exitCode = 1
    })
  addEnable(mesh, context)
  addDisable(mesh, context)
  addExportJoin(mesh, context)
  addPreflight(mesh, context)
  addConnect(mesh, context)
  addDisconnect(mesh, context)
  addCa(mesh, context)
  addVm(mesh)
}

interface Look {
  readonly status: MeshStatus
  readonly access: Access | undefined
}

/** Asks the agent, and the exporter beside it. */
function lookBy(context: CliContext, command: Command): () => Promise<Look> {
  const agent = agentOf(context, command)
  const exporterSocket = exporterSocketOf(context, command)
  const exporter = context.api(exporterSocket)
  return async () => {
    const status: MeshStatus = await agent.status()
    if (status.node === undefined) return { status, access: undefined }
    return {
      status,
      access: await accessOf({ agent, exporter, exporterSocket, clusterName: status.cluster?.name ?? '' }),
    }
  }
}

/** The mesh once all of it is ready, or as it stands when time is up. An agent that does not run yet is waited for, too. */
async function waitForMesh(context: CliContext, look: () => Promise<Look>, limitMs: number): Promise<Look> {
  const { clock, signal } = context
  const start = clock.now()
  let nextProgress = start
  for (;;) {
    const seen = await lookOrMissing(look)
    const what = missing(seen)
    if (!(seen instanceof ApiClientError) && what === undefined) return seen
    const now = clock.now()
    if (now - start >= limitMs) {
      if (!(seen instanceof ApiClientError)) return seen
      throw new CommandError('wait-timeout', `gave up after ${formatDuration((now - start) / 1000)}`, { cause: seen })
    }
    if (now >= nextProgress) {
      const waited = formatDuration((now - start) / 1000)
      context.stderr(`⌛ Waiting (${waited}) for clusters to be connected: ${what}\n`)
      nextProgress = now + PROGRESS_MS
    }
    await delay(clock, Math.min(POLL_MS, limitMs - (now - start)), signal)
  }
}

/** Undefined: nothing is. */
function missing(seen: Look | ApiClientError): string | undefined {
  if (seen instanceof ApiClientError) return seen.message
  if (!seen.status.clusterMesh.clusters.every((cluster) => cluster.ready)) return '1 nodes are not ready'
  return seen.access?.apiserver?.ready === false ? `${APISERVER} is not ready` : undefined
}

async function lookOrMissing(look: () => Promise<Look>): Promise<Look | ApiClientError> {
  try {
    return await look()
  } catch (error) {
    if (error instanceof ApiClientError && error.code === 'no-agent') return error
    throw error
  }
}
