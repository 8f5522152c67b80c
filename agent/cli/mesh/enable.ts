import type { Command } from 'commander'
import { InvalidArgumentError, Option } from 'commander'
import { existsSync, readdirSync } from 'node:fs'
import { ApiClientError } from '../../api/errors.ts'
import type { CliContext } from '../context.ts'
import { agentOf, print } from '../context.ts'
import { CommandError } from '../errors.ts'
import { apiserverSocketOption, askExporter, exporterEndpoints, exporterSocketOf, hostPort } from './access.ts'
import type { MeshSetup, Step } from './enable-steps.ts'
import { disableSteps, enableSteps, renderSteps } from './enable-steps.ts'
import { DEFAULT_PKI } from './export-join.ts'
import type { OwnOptions } from './own.ts'
import { commaList, OwnCluster } from './own.ts'
import type { EtcdAddress, ServiceType } from './service-objects.ts'
import { SERVICE_NAMES, SERVICE_TYPES, serviceObjects } from './service-objects.ts'

/** As Cilium's charts have it. */
const NODE_PORT = 32379

interface Common extends OwnOptions {
  readonly output: 'yaml' | 'json'
}

interface Options extends Common {
  readonly serviceType: ServiceType
  readonly nodePort: number
  readonly enableKvstoremesh: boolean
  readonly etcd?: readonly string[]
  readonly pki: string
}

export function addEnable(mesh: Command, context: CliContext): void {
  const command = mesh
    .command('enable')
    .summary('the objects that let other clusters in, and what is left to do')
    .description(
      'Print the Service through which other clusters reach the etcd of this one, and say on stderr what is left to do. ' +
        'Nothing is changed and nothing started.',
    )
    .addOption(new Option('--service-type <type>', 'of that Service').choices(SERVICE_TYPES).default('NodePort'))
    .option('--node-port <port>', 'for the type NodePort', portNumber, NODE_PORT)
    .option('--enable-kvstoremesh [bool]', 'agents read a copy that kvstoremesh keeps', yesOrNo, true)
    .option('--etcd <addresses>', 'where etcd listens, with commas; otherwise as the exporter says', commaList)
    .option('--pki <directory>', 'CA and certificates (env WEFT_PKI)', context.env['WEFT_PKI'] || DEFAULT_PKI)
  common(command, context)
    .addHelpText(
      'after',
      `
Examples:
  weft clustermesh enable --service-type NodePort --enable-kvstoremesh=false | kubectl apply -f -
  weft clustermesh enable --service-type LoadBalancer --etcd 172.18.0.2 >/etc/weft/manifests/clustermesh.yaml`,
    )
    .action(async (options: Options, action: Command) => {
      const setup = await setupOf(context, action, options)
      const { serviceType: type, nodePort, enableKvstoremesh: kvstoremesh } = options
      await show(
        context,
        options,
        serviceObjects(type, nodePort, setup.etcd),
        enableSteps(setup, { type, nodePort, kvstoremesh }),
      )
    })
}

export function addDisable(mesh: Command, context: CliContext): void {
  const command = mesh
    .command('disable')
    .summary('the objects to delete, and what is left to do')
    .description(
      'Print what names the objects of "enable", to be deleted, and say on stderr what is left to do. Nothing is changed ' +
        'and nothing stopped.',
    )
    .option('--config-dir <directory>', 'directory of the remote clusters (env WEFT_CLUSTERMESH_CONFIG)')
  common(command, context)
    .addHelpText('after', '\nExamples:\n  weft clustermesh disable | kubectl delete -f -')
    .action(async (options: Common, action: Command) => {
      const { readMembers } = await import('../../peering/directory.ts')
      const directory = await new OwnCluster(context, action, options).configDir().catch((error: unknown) => {
        if (error instanceof CommandError) return undefined
        throw error
      })
      const members = directory === undefined ? [] : await readMembers(directory)
      await show(context, options, SERVICE_NAMES, disableSteps(members.map(({ name }) => name)))
    })
}

function common(command: Command, context: CliContext): Command {
  return command
    .option('--config <file>', "the agent's file with settings (env WEFT_CONFIG)")
    .option('--cluster-name <name>', 'name of this cluster (env WEFT_CLUSTER_NAME)')
    .option('--cluster-id <id>', 'number of this cluster (env WEFT_CLUSTER_ID)')
    .addOption(apiserverSocketOption(context))
    .addOption(new Option('-o, --output <format>', 'output format').choices(['yaml', 'json']).default('yaml'))
}

/** Objects on stdout, one YAML document each; for people, what comes next on stderr. */
async function show(
  context: CliContext,
  { output }: Common,
  objects: readonly object[],
  steps: readonly Step[],
): Promise<void> {
  if (output === 'json') await print(context, 'json', { apiVersion: 'v1', kind: 'List', items: objects }, () => '')
  else {
    const { stringify } = await import('yaml')
    context.stdout(objects.map((object) => stringify(object)).join('---\n'))
  }
  context.stderr(renderSteps(steps))
}

async function setupOf(context: CliContext, command: Command, options: Options): Promise<MeshSetup> {
  const { name, id } = await new OwnCluster(context, command, options).facts(undefined)
  const answer = await askExporter(context.api(exporterSocketOf(context, command)))
  const report = answer instanceof ApiClientError ? undefined : answer
  const said = options.etcd ?? exporterEndpoints(report)
  const addresses = said.length > 0 ? said : await ownAddress(context, command)
  return {
    cluster: { name, id },
    etcd: await Promise.all(addresses.map(etcdAddress)),
    exporter:
      report === undefined ? undefined : { tls: report.etcd?.some((url) => url.startsWith('https:')) !== false },
    pki: options.pki,
    certificates: existsSync(options.pki)
      ? readdirSync(options.pki).flatMap((file) => (file.endsWith('.crt') ? [file.slice(0, -'.crt'.length)] : []))
      : [],
  }
}

async function ownAddress(context: CliContext, command: Command): Promise<string[]> {
  try {
    return [(await agentOf(context, command).status()).node.address]
  } catch (cause) {
    if (!(cause instanceof ApiClientError)) throw cause
    throw new CommandError('etcd-address-unknown', 'the address of the etcd of this cluster is not known', {
      hint: 'say --etcd ADDRESS, or start the exporter or an agent here',
      cause,
    })
  }
}

/** `172.18.0.2`, `172.18.0.2:2379` or `https://172.18.0.2:2379`. */
async function etcdAddress(text: string): Promise<EtcdAddress> {
  const { parseAddress } = await import('../../types/address.ts')
  const [address = '', port = '2379'] = hostPort(text).split(':')
  if (parseAddress(address) !== undefined && /^\d+$/.test(port)) return { address, port: Number(port) }
  throw new CommandError('etcd-address-unknown', `${text} is no IPv4 address with or without a port`, {
    hint: 'objects name addresses: say --etcd 172.18.0.2',
  })
}

function portNumber(text: string): number {
  const port = Number(text)
  if (Number.isInteger(port) && port > 0 && port < 65536) return port
  throw new InvalidArgumentError('Not a port.')
}

function yesOrNo(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  throw new InvalidArgumentError('Write true or false.')
}
