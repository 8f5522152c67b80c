import type { Command } from 'commander'
import type { OwnFacts } from '../../peering/check.ts'
import { MAX_CLUSTER_ID } from '../../types/wire/keys.ts'
import { ApiClientError } from '../../api/errors.ts'
import type { Api } from '../../api/client.ts'
import type { CliContext } from '../context.ts'
import { agentOf } from '../context.ts'
import { CommandError, UsageError } from '../errors.ts'

/** What a person may say about the own cluster; whatever is left out is looked up. */
export interface OwnOptions {
  readonly config?: string
  readonly clusterName?: string
  readonly clusterId?: string
  readonly podCidr?: readonly string[]
  readonly serviceCidr?: readonly string[]
  readonly mtu?: string
  readonly configDir?: string
}

export function addOwnOptions(command: Command): Command {
  return command
    .option('--config <file>', "the agent's file with settings (env WEFT_CONFIG)")
    .option('--cluster-name <name>', 'name of this cluster (env WEFT_CLUSTER_NAME)')
    .option('--cluster-id <id>', 'number of this cluster (env WEFT_CLUSTER_ID)')
    .option('--pod-cidr <prefixes>', 'pod CIDRs of this cluster, with commas; otherwise those of its nodes', commaList)
    .option('--service-cidr <prefixes>', 'service CIDRs of this cluster, with commas, or none', commaList)
    .option('--mtu <bytes>', 'of the devices between nodes; otherwise that of the uplink')
    .option('--config-dir <directory>', 'directory of the remote clusters (env WEFT_CLUSTERMESH_CONFIG)')
}

export function commaList(text: string, before: readonly string[] = []): string[] {
  const words = text.split(',').map((word) => word.trim())
  return [...before, ...words.filter((word) => word !== '' && word !== 'none')]
}

/** The sources of what is not said on the command line, each asked once and only when it is needed. */
export class OwnCluster {
  readonly #options: OwnOptions
  readonly #context: CliContext
  readonly #api: Api
  readonly #version: string

  constructor(context: CliContext, command: Command, options: OwnOptions) {
    this.#context = context
    this.#options = options
    this.#api = agentOf(context, command)
    this.#version = rootOf(command).version() ?? '0.0.0'
  }

  /** @throws CommandError `config-dir-unknown` */
  async configDir(): Promise<string> {
    const { configDir } = this.#options
    const directory =
      configDir ??
      (this.#context.env['WEFT_CLUSTERMESH_CONFIG'] || undefined) ??
      (await this.#settings())?.clustermeshConfig ??
      (await this.#askedDirectory())
    if (directory !== undefined) return directory
    throw new CommandError('config-dir-unknown', 'the directory of the remote clusters is not known', {
      hint: 'name it with --config-dir or WEFT_CLUSTERMESH_CONFIG, or start the agent that has it (clustermeshConfig)',
    })
  }

  /**
   * @param directory where an earlier export has left what this cluster says about itself
   * @throws CommandError `own-cluster-unknown` when nobody says name and id
   */
  async facts(directory: string | undefined): Promise<OwnFacts> {
    const { uplinkMtu } = await import('../../peering/mtu.ts')
    const options = this.#options
    const exported = directory === undefined ? undefined : await recordedOwn(directory)
    const settings = await this.#settings()
    const { env } = this.#context
    const asked = options.clusterName === undefined ? await this.#status() : undefined
    const name =
      options.clusterName ??
      exported?.cluster.name ??
      settings?.clusterName ??
      (env['WEFT_CLUSTER_NAME'] || asked?.cluster.name)
    const idText =
      options.clusterId ?? exported?.cluster.id ?? settings?.clusterId ?? (env['WEFT_CLUSTER_ID'] || asked?.cluster.id)
    const id = Number(idText)
    if (name === undefined || idText === undefined || !Number.isInteger(id)) {
      throw new CommandError('own-cluster-unknown', 'name and id of this cluster are not known', {
        hint: 'name its settings with --config, or say --cluster-name and --cluster-id, or start its agent',
      })
    }
    return {
      name,
      id,
      podCidrs: options.podCidr ?? (await this.#podCidrs()) ?? exported?.podCidrs,
      serviceCidrs: options.serviceCidr ?? exported?.serviceCidrs,
      maxConnectedClusters: MAX_CLUSTER_ID,
      mtu:
        options.mtu === undefined ? (exported?.mtu ?? uplinkMtu(settings?.uplink)) : wholeNumber(options.mtu, '--mtu'),
      version: this.#version,
    }
  }

  /** Undefined when nobody says it. */
  async name(directory: string): Promise<string | undefined> {
    const settings = await this.#settings()
    const said = settings?.clusterName ?? (this.#context.env['WEFT_CLUSTER_NAME'] || undefined)
    return said ?? (await recordedOwn(directory))?.cluster.name ?? (await this.#status())?.cluster.name
  }

  /** Ids of connected clusters and pod CIDRs of all, as a running agent has them; empty without one. */
  async remoteFacts(): Promise<ReadonlyMap<string, { readonly id: number | undefined; readonly podCidrs: string[] }>> {
    const status = await this.#status()
    const facts = new Map<string, { id: number | undefined; podCidrs: string[] }>()
    for (const cluster of status?.clusterMesh.clusters ?? []) {
      facts.set(cluster.name, { id: cluster.config['cluster-id'] || undefined, podCidrs: [] })
    }
    if (status === undefined) return facts
    for (const node of await this.#api.nodes()) {
      facts.get(node.name.slice(0, node.name.indexOf('/')))?.podCidrs.push(...node.podCidrs)
    }
    return facts
  }

  async #podCidrs(): Promise<readonly string[] | undefined> {
    if ((await this.#status()) === undefined) return undefined
    const nodes = (await this.#api.nodes()).filter(({ source }) => source !== 'clustermesh')
    const prefixes = [...new Set(nodes.flatMap((node) => node.podCidrs))].sort()
    return prefixes.length === 0 ? undefined : prefixes
  }

  #status = once(() => orWithoutAgent(() => this.#api.status()))

  async #askedDirectory(): Promise<string | undefined> {
    const values = await orWithoutAgent(() => this.#api.config())
    const value = values?.find(({ key }) => key === 'clustermeshConfig')?.value
    return typeof value === 'string' && value !== '' ? value : undefined
  }

  /** The agent's own file, when it is named. @throws InvalidConfig */
  #settings = once(async () => {
    const file = this.#options.config ?? this.#context.env['WEFT_CONFIG']
    if (file === undefined || file === '') return undefined
    const { loadConfig } = await import('../../config.ts')
    return loadConfig({ flags: { config: file }, env: this.#context.env }).config
  })
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}

async function orWithoutAgent<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof ApiClientError && (error.code === 'no-agent' || error.code === 'no-permission'))
      return undefined
    throw error
  }
}

async function recordedOwn(directory: string) {
  const { readOwn } = await import('../../peering/directory.ts')
  return (await readOwn(directory))?.facts
}

/** @throws UsageError */
export function wholeNumber(text: string, flag: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new UsageError(`${flag} ${text} is not a whole number`)
}

function rootOf(command: Command): Command {
  let root = command
  while (root.parent !== null) root = root.parent
  return root
}
