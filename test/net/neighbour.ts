import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import path from 'node:path'
import { end, speaks } from '../processes.ts'
import { NamespaceHolder } from './namespace-holder.ts'
import type { Sandbox } from './sandbox.ts'

/** A host beside a sandbox: a network namespace with one device, `eth0`, that leads to the sandbox's. It goes with this process. */
export class Neighbour {
  readonly #holder: NamespaceHolder
  readonly #servers: ChildProcess[] = []

  private constructor(holder: NamespaceHolder) {
    this.#holder = holder
  }

  /** `device` is the sandbox's side. Offloads are set for XDP on it: what comes has its checksums, and what goes finds a ring. */
  static async join(sandbox: Sandbox, device: string, own: string, theirs: string): Promise<Neighbour> {
    const made = new Neighbour(await NamespaceHolder.start('the neighbour', ['--net']))
    sandbox.run('ip', 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(made.pid))
    sandbox.run('ip', 'addr', 'add', theirs, 'dev', device)
    sandbox.run('ip', 'link', 'set', device, 'up')
    made.run('ip', 'addr', 'add', own, 'dev', 'eth0')
    made.run('ip', 'link', 'set', 'eth0', 'up')
    // Once it is up: before, the kernel notes that GRO is wanted and makes no ring for what XDP sends.
    made.run('ethtool', '-K', 'eth0', 'gro', 'on', 'tx', 'off')
    return made
  }

  get pid(): number {
    return this.#holder.pid
  }

  run(...argv: readonly string[]): string {
    return execFileSync('nsenter', ['-t', String(this.pid), '--net', '--', ...argv], { encoding: 'utf8' })
  }

  /** TCP and UDP on a port; answers with what it saw of the request. */
  async serve(port: number, name: string): Promise<void> {
    this.#servers.push(await startServer(['nsenter', '-t', String(this.pid), '--net', '--'], port, name))
  }

  /** GET, or POST of so many bytes, each by a connection of its own. */
  http(url: string, options: { readonly post?: number; readonly seconds?: number } = {}): string {
    const curl = ['curl', '-sS', '-m', String(options.seconds ?? 10), '--http1.1', '-H', 'Expect:', url]
    if (options.post === undefined) return this.run(...curl)
    const send = `head -c ${options.post} /dev/zero | ${curl.map((part) => `'${part}'`).join(' ')} --data-binary @-`
    return this.run('bash', '-c', send)
  }

  /** How many bytes come. */
  download(url: string): number {
    return Number(this.run('curl', '-sS', '-m', '20', '-o', '/dev/null', '-w', '%{size_download}', url))
  }

  /** One datagram and its answer: nothing is sent twice. */
  udp(address: string, port: number, seconds = 5): string {
    const script = `exec 3<>/dev/udp/${address}/${port}; printf hello >&3; timeout ${seconds} head -n 1 <&3`
    return this.run('bash', '-c', script).trim()
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) await end(server)
    await this.#holder.stop()
  }
}

const SERVER = path.resolve('build/js/test/net/echo-server.js')

/** Starts the server behind a prefix of the command line, and waits until it listens. It does not outlive this process. */
export async function startServer(prefix: readonly string[], port: number, name: string): Promise<ChildProcess> {
  const [file, ...args] = [...prefix, 'setpriv', '--pdeathsig', 'KILL', process.execPath, SERVER, String(port), name]
  const server = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await speaks(server, 'the server')
  return server
}
