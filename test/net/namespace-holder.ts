import { type ChildProcess, spawn } from 'node:child_process'
import { ended, speaks } from '../processes.ts'

/** A process that holds namespaces of its own, with loopback up. It ends when this one does, however it ends. */
export class NamespaceHolder {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** `kinds` as unshare(1) names them; `prepare` is run inside, by bash. */
  static async start(what: string, kinds: readonly string[], prepare = 'true'): Promise<NamespaceHolder> {
    const script = `${prepare} && ip link set lo up && echo ready && exec cat >/dev/null`
    const child = spawn('unshare', [...kinds, 'bash', '-c', script], { stdio: ['pipe', 'pipe', 'inherit'] })
    await speaks(child, what)
    return new NamespaceHolder(child)
  }

  get pid(): number {
    return this.#child.pid!
  }

  async stop(): Promise<void> {
    this.#child.stdin?.end()
    await ended(this.#child)
  }
}
