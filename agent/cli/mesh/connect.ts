import type { Command } from 'commander'
import { readFile } from 'node:fs/promises'
import type { RecordedJoin } from '../../peering/directory.ts'
import type { ClusterFacts, OwnFacts } from '../../peering/check.ts'
import type { JoinFile } from '../../peering/join-file.ts'
import { refused } from '../../peering/check.ts'
import type { CliContext, Format } from '../context.ts'
import { formatOption, print } from '../context.ts'
import { parseDuration } from '../duration.ts'
import { CommandError, UsageError } from '../errors.ts'
import type { OwnOptions } from './own.ts'
import type { ByContext } from './compare-contexts.ts'
import { compareContexts } from './compare-contexts.ts'
import { addOwnOptions, commaList, OwnCluster } from './own.ts'
import type { PreflightReport } from './preflight-text.ts'
import { renderPreflight } from './preflight-text.ts'

interface Options extends OwnOptions {
  readonly trust?: string
  readonly clientCert?: string
  readonly clientKey?: string
  readonly timeout: string
  readonly output: Format
}

export function addConnect(mesh: Command, context: CliContext): void {
  common(
    mesh
      .command('connect')
      .summary('connect to the cluster of a join file')
      .description(
        'Connect to the cluster of a join file. Everything is checked first; if anything is a problem, nothing is written. ' +
          'Running agents connect at once. To connect both ways, do the same over there with the file of this cluster.',
      ),
    '[file]',
  )
    .option(
      '--destination-context <names>',
      'instead of a file: whether this cluster and those of these contexts are connected, and how to, with commas',
      commaList,
    )
    .addHelpText(
      'after',
      '\nExamples:\n  weft clustermesh connect east.join --trust 3fa1…\n  weft clustermesh connect east.join --config-dir /etc/weft/clustermesh',
    )
    .action(async (file: string | undefined, options: Options & ByContext, command: Command) => {
      const { destinationContext } = options
      if (destinationContext !== undefined) return compareContexts(context, command, destinationContext, options.output)
      if (file === undefined) {
        throw new UsageError('the join file is missing', 'it comes from "weft clustermesh export-join" over there')
      }
      const plan = await prepare(context, command, file, options)
      requireTrust(plan)
      await print(context, options.output, plan.report, renderPreflight)
      const { name } = plan.join.facts.cluster
      if (plan.report.refused) {
        throw new CommandError('join-refused', `cluster ${plan.own.name} was not connected to ${name}`, {
          hint: 'nothing was written; do what the lines with 💡 say, then try again',
        })
      }
      const { joinFiles, replaceAll } = await import('../../peering/directory.ts')
      const changed = await replaceAll(plan.directory, joinFiles(plan.directory, plan.join))
      context.stderr(
        changed.length === 0
          ? `✅ Cluster ${plan.own.name} is connected to ${name} already\n`
          : `✅ Connected cluster ${plan.own.name} => ${name}!\n`,
      )
    })
}

export function addPreflight(mesh: Command, context: CliContext): void {
  common(
    mesh
      .command('preflight')
      .summary('check whether a cluster could be connected')
      .description('Check everything "connect" checks, and write nothing. Exits with 1 if anything is a problem.'),
    '<file>',
  )
    .addHelpText(
      'after',
      '\nExamples:\n  weft clustermesh preflight east.join\n  weft clustermesh preflight east.join -o json',
    )
    .action(async (file: string, options: Options, command: Command) => {
      const { report } = await prepare(context, command, file, options)
      await print(context, options.output, report, renderPreflight)
      if (report.refused) context.exitCode = 1
    })
}

export function addDisconnect(mesh: Command, context: CliContext): void {
  mesh
    .command('disconnect')
    .summary('leave a connected cluster')
    .description('Take a cluster out of the directory of remote clusters: running agents drain it at once.')
    .argument('<cluster>', 'its name')
    .option('--config <file>', "the agent's file with settings (env WEFT_CONFIG)")
    .option('--config-dir <directory>', 'directory of the remote clusters (env WEFT_CLUSTERMESH_CONFIG)')
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft clustermesh disconnect east')
    .action(async (cluster: string, options: OwnOptions & { output: Format }, command: Command) => {
      const { removeMember } = await import('../../peering/directory.ts')
      const directory = await new OwnCluster(context, command, options).configDir()
      await removeMember(directory, cluster)
      context.stderr(`✅ Disconnected cluster ${cluster}\n`)
      await print(context, options.output, { cluster, directory, connected: false }, () => '')
    })
}

function common(command: Command, argument: string): Command {
  return addOwnOptions(
    command
      .argument(argument, 'join file, written by "weft clustermesh export-join" over there')
      .option('--trust <fingerprint>', 'SHA-256 fingerprint of the CA over there, heard from its operator')
      .option('--client-cert <file>', 'client certificate to use instead of that in the file')
      .option('--client-key <file>', 'its key')
      .option('--timeout <duration>', 'for each step of each endpoint', '5s')
      .addOption(formatOption()),
  )
}

interface Plan {
  readonly own: OwnFacts
  readonly join: JoinFile
  readonly directory: string
  readonly report: PreflightReport
  readonly trusted: boolean
}

async function prepare(context: CliContext, command: Command, file: string, options: Options): Promise<Plan> {
  const [{ readJoinFile }, { preflight }, { readMembers, readOwn, readRecords }, { probeEndpoint }] = await Promise.all(
    [
      import('../../peering/join-file.ts'),
      import('../../peering/preflight.ts'),
      import('../../peering/directory.ts'),
      import('../../peering/probe.ts'),
    ],
  )
  const timeoutMs = parseDuration(options.timeout)
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new CommandError('file-read', `cannot read ${file}`, { cause })
  })
  const join = await withClient(readJoinFile(text, context.clock.date()), options)
  const { facts, signer } = join
  const cluster = new OwnCluster(context, command, options)
  const directory = await cluster.configDir()
  const own = await cluster.facts(directory)
  const records = await readRecords(directory)
  // Before the first packet: a file that is known to be somebody else's says where to connect, too.
  const trusted = await isTrusted(signer.fingerprint, options.trust, [
    records.get(facts.cluster.name)?.signer,
    (await readOwn(directory))?.signer.fingerprint,
  ])
  const others = otherClusters(await readMembers(directory), records, await cluster.remoteFacts())
  const material = { ca: facts.caCertificates.join(''), cert: facts.client?.certificate, key: facts.client?.key }
  const probes = await Promise.all(
    facts.endpoints.map((endpoint) => probeEndpoint(endpoint, material, timeoutMs, () => context.clock.date())),
  )
  const checks = preflight({
    own,
    peer: facts,
    others: others.filter(({ name }) => name !== own.name),
    probes,
    now: context.clock.date(),
  })
  return {
    own,
    join,
    directory,
    report: { cluster: facts.cluster, signer: signer.fingerprint, refused: refused(checks), checks },
    trusted,
  }
}

/** Said on the command line, or known: of an earlier join of the same cluster, or the own CA. */
async function isTrusted(
  signer: string,
  said: string | undefined,
  known: readonly (string | undefined)[],
): Promise<boolean> {
  if (said === undefined) return known.includes(signer)
  const { parseFingerprint } = await import('../../peering/fingerprint.ts')
  const wanted = parseFingerprint(said)
  if (wanted === undefined) {
    throw new UsageError(`--trust ${said} is not a SHA-256 fingerprint`, 'it has 64 hex digits, with or without colons')
  }
  if (wanted === signer) return true
  throw new CommandError('join-not-trusted', `the join file is signed by the CA ${signer}, not by ${wanted}`, {
    hint: 'somebody else made this file, or that cluster has a new CA: ask its operator',
  })
}

function requireTrust({ trusted, join }: Plan): void {
  if (trusted) return
  const { signer, facts } = join
  throw new CommandError(
    'join-not-trusted',
    `the CA of ${facts.cluster.name} is not trusted yet: ${signer.fingerprint}`,
    {
      hint: `compare it with what the operator of ${facts.cluster.name} was told at export, then add --trust ${signer.fingerprint}`,
    },
  )
}

async function withClient(join: JoinFile, { clientCert, clientKey }: Options): Promise<JoinFile> {
  if (clientCert === undefined && clientKey === undefined) return join
  if (clientCert === undefined || clientKey === undefined) {
    throw new UsageError('--client-cert and --client-key belong together', 'say both, or neither')
  }
  const client = { certificate: await readFile(clientCert, 'utf8'), key: await readFile(clientKey, 'utf8') }
  return { ...join, facts: { ...join.facts, client } }
}

/** What is known of every cluster of the directory: from its join file, else from the agent that is connected to it. */
function otherClusters(
  members: readonly { readonly name: string }[],
  records: ReadonlyMap<string, RecordedJoin>,
  connected: ReadonlyMap<string, { readonly id: number | undefined; readonly podCidrs: string[] }>,
): ClusterFacts[] {
  return members.map(({ name }) => {
    const record = records.get(name)
    const seen = connected.get(name)
    const podCidrs = [...(record?.podCidrs ?? []), ...(seen?.podCidrs ?? [])]
    return {
      name,
      // What it is counts more than what it once said.
      id: seen?.id ?? record?.id,
      podCidrs: podCidrs.length === 0 ? undefined : podCidrs,
      serviceCidrs: record?.serviceCidrs,
    }
  })
}
