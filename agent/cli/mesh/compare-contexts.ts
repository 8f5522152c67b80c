import type { Command } from 'commander'
import type { StatusReport } from '../../api/types.ts'
import type { CliContext, Format } from '../context.ts'
import { agentOf, print } from '../context.ts'
import { contextSocket } from '../contexts.ts'
import { CommandError } from '../errors.ts'

export interface ByContext {
  readonly destinationContext?: readonly string[]
}

/** One of the two ways between the own cluster and another. */
interface Way {
  readonly from: string
  readonly to: string
  readonly state: 'connected' | 'not-ready' | 'missing'
}

/**
 * Clusters are joined by files that their CAs have signed, made where the keys are, and no agent hands out keys. So a connection
 * between two contexts is not made from here: this tells whether it is there, both ways, and otherwise what to run where.
 *
 * @throws CommandError `join-refused` for clusters that could never be, `join-by-file` when a way is missing
 */
export async function compareContexts(
  context: CliContext,
  command: Command,
  names: readonly string[],
  format: Format,
): Promise<void> {
  const sockets = names.map((name) => contextSocket(context.env, name))
  const own = await agentOf(context, command).status()
  const ways: Way[] = []
  for (const socket of sockets) {
    const other = await context.api(socket).status()
    requireDifferent(own, other)
    ways.push(wayOf(own, other), wayOf(other, own))
  }
  await print(context, format, ways, (all) => all.map(line).join(''))
  const missing = ways.filter(({ state }) => state === 'missing')
  if (missing.length > 0) {
    throw new CommandError(
      'join-by-file',
      `${missing.map(({ from, to }) => `${from} => ${to}`).join(', ')} not connected`,
      {
        hint: missing.map(advice).join('; '),
      },
    )
  }
  if (ways.some(({ state }) => state === 'not-ready')) context.exitCode = 1
}

function requireDifferent({ cluster: own }: StatusReport, { cluster: other }: StatusReport): void {
  const refuse = (what: string): never => {
    throw new CommandError('join-refused', `${own.name} and ${other.name} cannot be connected: ${what}`, {
      hint: 'names and ids are settings of the agents (clusterName, clusterId): give each cluster its own',
    })
  }
  if (own.id === 0 || other.id === 0) refuse('one of them has no id')
  if (own.name === other.name) refuse('they have the same name')
  if (own.id === other.id) refuse(`both have the id ${own.id}`)
}

function wayOf(from: StatusReport, to: StatusReport): Way {
  const entry = from.clusterMesh.clusters.find(({ name }) => name === to.cluster.name)
  const state = entry === undefined ? 'missing' : entry.ready ? 'connected' : 'not-ready'
  return { from: from.cluster.name, to: to.cluster.name, state }
}

const MARKS = { connected: '✅', 'not-ready': '⌛', missing: '❌' } as const
const WORDS = { connected: 'connected', 'not-ready': 'configured, not ready yet', missing: 'not connected' } as const

function line({ from, to, state }: Way): string {
  return `${MARKS[state]} Cluster ${from} => ${to}: ${WORDS[state]}\n`
}

function advice({ from, to }: Way): string {
  return (
    `in ${to} run "weft clustermesh export-join --for ${from} --endpoint URL --service-cidr PREFIX -f ${to}.join", ` +
    `then in ${from} "weft clustermesh connect ${to}.join --trust FINGERPRINT"`
  )
}
