import type { ChildProcess } from 'node:child_process'
import type { Interface } from 'node:readline'
import type { TestContext } from 'vitest'
import type { Peer } from './setup.ts'
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { inject } from 'vitest'
import { freePort } from '../net/etcd.ts'
import { end, runs } from '../processes.ts'

/** Skips the test, with the reason, where this peer could not be built; otherwise where its programs are. */
export function peerDirectory(peer: Peer, context: TestContext): string {
  const found = inject('peers')[peer]
  if ('skip' in found) return context.skip(found.skip)
  return found.directory
}

/** Remote clusters by name, and what their files in the configuration directory say: Cilium and weft read the same. */
export type Remotes = Readonly<Record<string, string>>

/** The file of a cluster whose etcd is reached without TLS. */
export const at = (url: string): string => `endpoints:\n- ${url}\n`

async function writeRemotes(remotes: Remotes): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `weft-peer-${process.pid}-`))
  for (const [cluster, text] of Object.entries(remotes)) await writeFile(join(directory, cluster), text)
  return directory
}

/** A program of Cilium's, ended by its pid; its directory goes with it. */
abstract class PeerProcess {
  protected readonly child: ChildProcess
  readonly directory: string
  /** The last of what it said on stderr, for the message when something does not happen. */
  said = ''

  protected constructor(directory: string, file: string, args: readonly string[]) {
    this.directory = directory
    this.child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.said = (this.said + text).slice(-4000)))
    process.once('exit', this.#onExit)
  }

  readonly #onExit = (): void => {
    this.child.kill('SIGKILL')
  }

  get running(): boolean {
    return runs(this.child)
  }

  /** No grace: what these programs would do at their end is nothing a test waits for. */
  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#onExit)
    await end(this.child)
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** Cilium's kvstoremesh of cluster west (id 1): copies the remotes' etcds into the local one. */
export class Kvstoremesh extends PeerProcess {
  static async start(programs: string, local: string, remotes: Remotes): Promise<Kvstoremesh> {
    const directory = await writeRemotes(remotes)
    const config = `${directory}/.local-etcd`
    await writeFile(config, at(local))
    const flags = {
      'cluster-name': 'west',
      'cluster-id': '1',
      'clustermesh-config': directory,
      'kvstore-opt': `etcd.config=${config}`,
      'health-port': String(await freePort()),
      'gops-port': String(await freePort()),
      'api-serve-addr': `127.0.0.1:${await freePort()}`,
    }
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
    return new Kvstoremesh(directory, join(programs, 'clustermesh-apiserver'), ['kvstoremesh', ...args])
  }

  private constructor(directory: string, file: string, args: readonly string[]) {
    super(directory, file, args)
    this.child.stdout?.resume()
  }
}

/** What Cilium's agent says about a remote cluster (api/v1 RemoteCluster), as far as tests look at it. */
export interface RemoteStatus {
  readonly name: string
  readonly ready?: boolean
  readonly connected?: boolean
  readonly 'num-nodes'?: number
  readonly 'num-endpoints'?: number
  readonly 'num-identities'?: number
  readonly 'num-shared-services'?: number
  readonly 'num-failures'?: number
  readonly config?: Readonly<Record<string, unknown>>
  readonly synced?: Readonly<Record<string, boolean>>
}

interface Line {
  readonly what: 'service' | 'node' | 'ip' | 'identity' | 'log' | 'status'
  readonly op?: 'set' | 'delete'
  readonly key?: string
  readonly value?: unknown
}

/** Cilium's own decoding: what an agent of cluster west (id 1) makes of the remotes' records. */
export class Meshwatch extends PeerProcess {
  readonly services = new Map<string, unknown>()
  readonly nodes = new Map<string, unknown>()
  readonly ips = new Map<string, unknown>()
  readonly identities = new Map<string, unknown>()
  /** Warnings and errors: the way Cilium tells that it refused a record or lost a connection. */
  readonly complaints: string[] = []
  #clusters: readonly RemoteStatus[] = []
  readonly #lines: Interface
  readonly #waiting = new Set<() => void>()

  static async start(programs: string, remotes: Remotes): Promise<Meshwatch> {
    return new Meshwatch(await writeRemotes(remotes), join(programs, 'meshwatch'))
  }

  private constructor(directory: string, file: string) {
    super(directory, file, ['-config', directory, '-name', 'west', '-id', '1'])
    this.#lines = createInterface({ input: this.child.stdout! })
    this.#lines.on('line', (text) => {
      this.#take(JSON.parse(text) as Line)
      for (const wake of this.#waiting) wake()
    })
    this.child.once('exit', () => {
      for (const wake of this.#waiting) wake()
    })
  }

  #take({ what, op, key = '', value }: Line): void {
    if (what === 'log') this.complaints.push(String(value))
    else if (what === 'status') this.#clusters = (value as { clusters?: RemoteStatus[] }).clusters ?? []
    else {
      const table = { service: this.services, node: this.nodes, ip: this.ips, identity: this.identities }[what]
      if (op === 'set') table.set(key, value)
      else table.delete(key)
    }
  }

  cluster(name: string): RemoteStatus | undefined {
    return this.#clusters.find((cluster) => cluster.name === name)
  }

  /** Resolves once `condition` holds; looked at after every line. */
  async until(what: string, condition: () => boolean, timeoutMs = 20_000): Promise<void> {
    if (condition()) return
    await new Promise<void>((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(look)
      }
      const fail = (why: string): void => {
        end()
        const state = JSON.stringify({ clusters: this.#clusters, complaints: this.complaints })
        reject(new Error(`${why}: ${what}; ${state}\n${this.said}`))
      }
      const look = (): void => {
        if (condition()) {
          end()
          resolve()
        } else if (!this.running) fail('meshwatch ended before')
      }
      const timer = setTimeout(() => fail('never happened'), timeoutMs)
      this.#waiting.add(look)
    })
  }

  /** Connected, and each kind of record read to the end of its list. */
  ready(cluster: string): Promise<void> {
    return this.until(`${cluster} is ready`, () => this.cluster(cluster)?.ready === true)
  }
}
