import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import path from 'node:path'
import { cgroup2Mount } from '../../native/index.ts'

/** Where a sandbox's bpffs is mounted, in its own mount namespace. */
export const SANDBOX_BPFFS = '/mnt'

/**
 * A network and a mount namespace with a bpffs, and a cgroup: what a datapath or a routing table needs for itself. Held by a
 * process that ends when this one does, however it ends; a cgroup that a killed run left is removed by the next one.
 */
export class Sandbox {
  readonly cgroup: string
  readonly #holder: ChildProcess

  private constructor(holder: ChildProcess, cgroup: string) {
    this.#holder = holder
    this.cgroup = cgroup
  }

  static async start(): Promise<Sandbox> {
    const root = cgroup2Mount()
    if (root === undefined) throw new Error('no cgroup2 is mounted')
    for (const entry of readdirSync(root)) {
      const pid = /^weft-sandbox-(\d+)$/.exec(entry)?.[1]
      if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmdirSync(path.join(root, entry))
    }
    const cgroup = path.join(root, `weft-sandbox-${process.pid}`)
    mkdirSync(cgroup)
    const script = `mount -t bpf bpf ${SANDBOX_BPFFS} && ip link set lo up && echo ready && exec cat >/dev/null`
    const holder = spawn('unshare', ['--net', '--mount', '--propagation', 'private', 'bash', '-c', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await new Promise<void>((resolve, reject) => {
      holder.stdout.once('data', () => resolve())
      holder.once('exit', (code) => reject(new Error(`the sandbox ended with ${String(code)}`)))
      holder.once('error', reject)
    })
    return new Sandbox(holder, cgroup)
  }

  /** The command line that runs a program inside. The program's pid is that of the command. */
  command(...argv: readonly string[]): [file: string, args: string[]] {
    return ['nsenter', ['-t', String(this.#holder.pid), '--net', '--mount', '--', ...argv]]
  }

  /** Runs a program inside; its output. Throws when it fails. */
  run(...argv: readonly string[]): string {
    return execFileSync(...this.command(...argv), { encoding: 'utf8' })
  }

  /**
   * A device `up0` inside with the address `<network>.2`, which leads to `<network>.1` in the network of this process: there
   * are the servers of a test. It goes with the sandbox.
   */
  uplink(network: string): void {
    const outside = `weft-u${process.pid % 1_000_000}`
    this.run('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', outside, 'netns', String(process.pid))
    this.run('ip', 'addr', 'add', `${network}.2/30`, 'dev', 'up0')
    this.run('ip', 'link', 'set', 'up0', 'up')
    execFileSync('ip', ['addr', 'add', `${network}.1/30`, 'dev', outside])
    execFileSync('ip', ['link', 'set', outside, 'up'])
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#holder.once('exit', resolve))
    this.#holder.stdin?.end()
    await ended
    rmdirSync(this.cgroup)
  }
}
