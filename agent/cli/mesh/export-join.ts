import type { Command } from 'commander'
import { existsSync } from 'node:fs'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JoinFacts } from '../../peering/join-file.ts'
import type { CliContext, Format } from '../context.ts'
import { formatOption, print } from '../context.ts'
import { parseDuration } from '../duration.ts'
import { CommandError, UsageError } from '../errors.ts'
import type { OwnOptions } from './own.ts'
import { addOwnOptions, commaList, OwnCluster } from './own.ts'

interface Options extends OwnOptions {
  readonly file?: string
  readonly for?: string
  readonly endpoint: readonly string[]
  readonly pki: string
  readonly client: boolean
  readonly clientCert?: string
  readonly clientKey?: string
  readonly validFor: string
  readonly output: Format
}

export const DEFAULT_PKI = '/etc/weft/pki'

export function addExportJoin(mesh: Command, context: CliContext): void {
  const command = mesh
    .command('export-join')
    .summary('write the file another cluster joins with')
    .description(
      'Write what another cluster needs to connect to this one, signed with the key of the CA. ' +
        'With a client key in it the file is a secret.',
    )
    .requiredOption('--endpoint <urls>', 'where other clusters reach the etcd of this one, with commas', commaList)
    .option('-f, --file <file>', 'where to write it; otherwise standard output')
    .option('--for <cluster>', 'the one cluster that may use it; its own client certificate is taken if there is one')
    .option('--pki <directory>', 'CA and certificates (env WEFT_PKI)', context.env['WEFT_PKI'] || DEFAULT_PKI)
    .option(
      '--client-cert <file>',
      'client certificate for the other cluster; otherwise remote-<cluster>.crt or remote.crt',
    )
    .option('--client-key <file>', 'its key')
    .option('--no-client', 'no client certificate: the other cluster has its own')
    .option('--valid-for <duration>', 'how long the file can be used', '24h')
  addOwnOptions(command)
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft clustermesh export-join --config /etc/weft/agent.yaml --endpoint https://172.18.0.3:32379 --service-cidr 10.3.0.0/16 -f east.join
  weft clustermesh export-join --for west --valid-for 1h --endpoint https://east.mesh.cilium.io:32379 --service-cidr none`,
    )
    .action(async (options: Options, command: Command) => {
      if (options.serviceCidr === undefined) {
        throw new UsageError(
          'the service CIDRs of this cluster are not known',
          'say --service-cidr 10.3.0.0/16, or none',
        )
      }
      if (options.output !== 'table' && options.file === undefined) {
        throw new UsageError('standard output is the join file already', 'write that to a file with -f')
      }
      await exportJoin(context, command, options)
    })
}

async function exportJoin(context: CliContext, command: Command, options: Options): Promise<void> {
  const [{ writeJoinFile }, { readCas, readSigner }, { writeOwn }] = await Promise.all([
    import('../../peering/join-file.ts'),
    import('../../pki/store.ts'),
    import('../../peering/directory.ts'),
  ])
  const own = new OwnCluster(context, command, options)
  const facts = await own.facts(undefined)
  const signer = await readSigner(options.pki)
  const client = options.client ? await clientPair(options) : undefined
  const now = context.clock.date()
  const content: JoinFacts = {
    createdAt: now.toISOString(),
    expiresAt: new Date(now.getTime() + parseDuration(options.validFor)).toISOString(),
    cluster: { name: facts.name, id: facts.id },
    ...(options.for === undefined ? {} : { audience: options.for }),
    endpoints: options.endpoint.map((endpoint) => endpoint.replace(/\/$/, '')),
    podCidrs: [...(facts.podCidrs ?? [])],
    serviceCidrs: [...(facts.serviceCidrs ?? [])],
    maxConnectedClusters: facts.maxConnectedClusters,
    ...(facts.mtu === undefined ? {} : { mtu: facts.mtu }),
    version: facts.version,
    caCertificates: (await readCas(options.pki)).map(({ pem }) => pem),
  }
  const text = writeJoinFile(client === undefined ? content : { ...content, client }, signer)
  if (options.file === undefined) context.stdout(text)
  else await writeSecret(options.file, text)
  const directory = await own.configDir().catch((error: unknown) => {
    if (error instanceof CommandError) return undefined
    throw error
  })
  if (directory !== undefined && existsSync(directory)) await writeOwn(directory, writeJoinFile(content, signer))
  context.stderr(
    `✅ Join file of ${facts.name} (id ${facts.id}), good for ${options.validFor}${client === undefined ? '' : ', with a key: keep it secret'}\n` +
      `ℹ️  CA fingerprint, to be compared on the other side: ${signer.certificate.fingerprint}\n`,
  )
  const report = {
    file: options.file,
    cluster: content.cluster,
    signer: signer.certificate.fingerprint,
    expiresAt: content.expiresAt,
    secret: client !== undefined,
  }
  await print(context, options.output, report, () => '')
}

async function clientPair(options: Options): Promise<JoinFacts['client']> {
  const { clientCert, clientKey, pki } = options
  if ((clientCert === undefined) !== (clientKey === undefined)) {
    throw new UsageError('--client-cert and --client-key belong together', 'say both, or neither')
  }
  const names = [...(options.for === undefined ? [] : [`remote-${options.for}`]), 'remote']
  const found = names.map((name) => join(pki, name)).find((path) => existsSync(`${path}.crt`))
  const paths =
    clientCert !== undefined && clientKey !== undefined
      ? { certificate: clientCert, key: clientKey }
      : found === undefined
        ? undefined
        : { certificate: `${found}.crt`, key: `${found}.key` }
  if (paths === undefined) {
    throw new CommandError('no-client-certificate', `no client certificate (${names.join(' or ')}) is in ${pki}`, {
      hint: 'make one with "weft clustermesh ca issue remote", name one with --client-cert, or say --no-client',
    })
  }
  return { certificate: await readFile(paths.certificate, 'utf8'), key: await readFile(paths.key, 'utf8') }
}

/** Readable by its owner alone from the first byte on; replaced at once. */
async function writeSecret(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.new`
  try {
    await writeFile(temporary, text, { mode: 0o600, flag: 'wx' })
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw new CommandError('file-write', `cannot write ${path}`, { cause })
  }
}
