import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { cgroup2Mount } from '../../native/index.ts'
import { destroyCgroup } from '../lab/cgroup.ts'
import { NamespaceHolder } from './namespace-holder.ts'
import { Neighbour } from './neighbour.ts'

/** Where a sandbox's bpffs is mounted, in its own mount namespace. */
export const SANDBOX_BPFFS = '/mnt'

/**
 * A network and a mount namespace with a bpffs, and a cgroup: what a datapath or a routing table needs for itself. Held by a
 * process that ends when this one does, however it ends; a cgroup that a killed run left is removed by the next one.
 */
export class Sandbox {
  readonly cgroup: string
  readonly #holder: NamespaceHolder
  readonly #neighbours: Neighbour[] = []

  private constructor(holder: NamespaceHolder, cgroup: string) {
    this.#holder = holder
    this.cgroup = cgroup
  }

  static async start(): Promise<Sandbox> {
    const root = cgroup2Mount()
    if (root === undefined) throw new Error('no cgroup2 is mounted')
    for (const entry of readdirSync(root)) {
      const pid = /^weft-sandbox-(\d+)$/.exec(entry)?.[1]
      if (pid !== undefined && !existsSync(`/proc/${pid}`)) await destroyCgroup(path.join(root, entry))
    }
    const cgroup = path.join(root, `weft-sandbox-${process.pid}`)
    mkdirSync(cgroup)
    const kinds = ['--net', '--mount', '--propagation', 'private']
    const holder = await NamespaceHolder.start('the sandbox', kinds, `mount -t bpf bpf ${SANDBOX_BPFFS}`)
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
   * are the servers of a test. It goes with the sandbox. Returns the name of its other end.
   */
  uplink(network: string): string {
    const outside = `weft-u${process.pid % 1_000_000}`
    this.run('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', outside, 'netns', String(process.pid))
    this.run('ip', 'addr', 'add', `${network}.2/30`, 'dev', 'up0')
    this.run('ip', 'link', 'set', 'up0', 'up')
    execFileSync('ip', ['addr', 'add', `${network}.1/30`, 'dev', outside])
    execFileSync('ip', ['link', 'set', outside, 'up'])
    return outside
  }

  /** A device `up0` inside with this address, whose other end is nobody's. */
  lonelyUplink(address: string): void {
    this.run('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1')
    this.run('ip', 'addr', 'add', address, 'dev', 'up0')
    for (const end of ['up0', 'up1']) this.run('ip', 'link', 'set', end, 'up')
  }

  /** A host behind a device of the sandbox; it goes with the sandbox. */
  async join(device: string, own: string, theirs: string): Promise<Neighbour> {
    const neighbour = await Neighbour.join(this, device, own, theirs)
    this.#neighbours.push(neighbour)
    return neighbour
  }

  async stop(): Promise<void> {
    for (const neighbour of this.#neighbours) await neighbour.stop()
    await this.#holder.stop()
    await destroyCgroup(this.cgroup)
  }
}
