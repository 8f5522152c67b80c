import type { ChildProcess } from 'node:child_process'
import type { StatusReport } from '../../agent/api/types.ts'
import type { Sandbox } from './sandbox.ts'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { stringify } from 'yaml'
import { ApiClient } from '../../agent/api/client.ts'
import { eventually } from '../eventually.ts'
import { replaceFile } from '../replace-file.ts'
import { SANDBOX_BPFFS } from './sandbox.ts'

const WEFT = path.resolve('build/weft/main.js')

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The `weft` executable in a sandbox, with directories of its own for what it reads and writes. */
export class AgentHost {
  readonly directory: string
  readonly manifests: string
  readonly mesh: string
  readonly socket: string
  readonly api: ApiClient
  readonly #sandbox: Sandbox
  readonly #children = new Set<ChildProcess>()

  private constructor(sandbox: Sandbox, directory: string) {
    this.#sandbox = sandbox
    this.directory = directory
    this.manifests = path.join(directory, 'manifests')
    this.mesh = path.join(directory, 'mesh')
    this.socket = path.join(directory, 'weft.sock')
    this.api = new ApiClient(this.socket)
  }

  static async create(sandbox: Sandbox): Promise<AgentHost> {
    if (!existsSync(WEFT)) throw new Error(`${WEFT} is missing: run \`make build\``)
    const host = new AgentHost(sandbox, await mkdtemp(path.join(tmpdir(), `weft-agent-${process.pid}-`)))
    await mkdir(host.manifests)
    await mkdir(host.mesh)
    return host
  }

  /** Flags of an agent that runs: as small as it gets, for maps of full size cost a second of kernel time each. */
  flags(over: Readonly<Record<string, string>> = {}): string[] {
    const flags = {
      'cluster-name': 'west',
      'cluster-id': '1',
      'node-name': 'west-worker',
      uplink: 'up0',
      manifests: this.manifests,
      'clustermesh-config': this.mesh,
      'bpf-root': SANDBOX_BPFFS,
      'cgroup-root': this.#sandbox.cgroup,
      'state-dir': this.directory,
      socket: path.join(this.directory, 'weft.sock'),
      'map-sizes-slots': '65536',
      'map-sizes-backends': '1024',
      'map-sizes-flows-tcp': '1024',
      'map-sizes-flows-any': '1024',
      'map-sizes-ipcache': '1024',
      'unreachable-after': '1s',
      ...over,
    }
    return Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])
  }

  /** Runs a command to its end. */
  async weft(argv: readonly string[], prefix: readonly string[] = []): Promise<Ended> {
    const { child, said } = this.#spawn([...prefix, process.execPath, WEFT, ...argv])
    return { code: await this.#ended(child), ...said }
  }

  /** Starts a command that goes on; what it has said so far. It ends with this host. */
  follow(argv: readonly string[]): { stdout(): string; stderr(): string } {
    const { said } = this.#spawn([process.execPath, WEFT, ...argv])
    return { stdout: () => said.stdout, stderr: () => said.stderr }
  }

  /** An agent that is to be refused. */
  agent(over: Readonly<Record<string, string>> = {}, prefix: readonly string[] = []): Promise<Ended> {
    return this.weft(['agent', ...this.flags(over)], prefix)
  }

  /** Starts an agent and waits until it answers; what it logs is in `stderr`. */
  async start(over: Readonly<Record<string, string>> = {}): Promise<RunningAgent> {
    // It must not outlive a test that is killed: it would hold the sandbox.
    const withUs = ['setpriv', '--pdeathsig', 'KILL']
    const { child, said } = this.#spawn([...withUs, process.execPath, WEFT, 'agent', ...this.flags(over)])
    const agent = new RunningAgent(child, this.api, () => said.stderr)
    await eventually(
      () => {
        if (!agent.runs) throw new Error(said.stderr)
        return this.api.status()
      },
      // The verifier takes its time on a busy machine.
      { what: 'an answer of the agent', timeoutMs: 60_000 },
    )
    return agent
  }

  async apply(file: string, ...objects: readonly object[]): Promise<void> {
    const text = objects.map((object) => `---\n${stringify(object)}`).join('')
    await replaceFile(this.manifests, `${file}.yaml`, text)
  }

  connect(cluster: string, url: string): Promise<void> {
    return this.configure(cluster, `endpoints:\n- ${url}\n`)
  }

  async configure(cluster: string, content: string): Promise<void> {
    await writeFile(path.join(this.mesh, cluster), content)
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL')
    await Promise.all([...this.#children].map((child) => this.#ended(child)))
    await rm(this.directory, { recursive: true, force: true })
  }

  #spawn(argv: readonly string[]): { child: ChildProcess; said: { stdout: string; stderr: string } } {
    const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('WEFT_')))
    const child = spawn(...this.#sandbox.command(...argv), { stdio: ['ignore', 'pipe', 'pipe'], env })
    this.#children.add(child)
    const said = { stdout: '', stderr: '' }
    child.stdout.on('data', (text: Buffer) => (said.stdout += text.toString()))
    child.stderr.on('data', (text: Buffer) => (said.stderr += text.toString()))
    return { child, said }
  }

  async #ended(child: ChildProcess): Promise<number | null> {
    if (child.exitCode === null && child.signalCode === null)
      await new Promise((resolve) => child.once('close', resolve))
    this.#children.delete(child)
    return child.exitCode
  }
}

export class RunningAgent {
  readonly #child: ChildProcess
  readonly #api: ApiClient
  readonly #stderr: () => string

  constructor(child: ChildProcess, api: ApiClient, stderr: () => string) {
    this.#child = child
    this.#api = api
    this.#stderr = stderr
  }

  get runs(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  get stderr(): string {
    return this.#stderr()
  }

  /** Waits until the status satisfies `condition`, and returns it. */
  until(what: string, condition: (status: StatusReport) => boolean): Promise<StatusReport> {
    return eventually(
      async () => {
        const status = await this.#api.status()
        if (!condition(status)) throw new Error(JSON.stringify({ problems: status.problems, mesh: status.clusterMesh }))
        return status
      },
      { what, timeoutMs: 20_000 },
    )
  }

  async stop(): Promise<void> {
    if (!this.runs) return
    const ended = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.kill('SIGTERM')
    await ended
  }
}
