import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { onHost } from '../lab/hosts.ts'
import { builtFile, type LabPaths } from '../lab/paths.ts'
import type { HostSpec } from '../lab/topology.ts'
import type { Route } from './probed.ts'

/** What a prober asks. */
export interface Target {
  readonly name: string
  readonly host: string
  readonly port: number
}

/** What came of one request; times in ms of the monotonic clock. */
export interface Answer {
  /** The name of its route. */
  readonly route: string
  readonly start: number
  readonly end: number
  /** `ok`, `no connection` or `no answer` in time, or what the socket said: ECONNREFUSED, ECONNRESET, … */
  readonly outcome: string
  /** The port it came from; 0 if it did not get that far. */
  readonly from: number
  /** The pod that answered. */
  readonly by?: string
}

const INTERVAL_MS = 100
/** Two retransmissions of a SYN fit in. */
const TIMEOUT_MS = 3500

/** The probers: one process on each host that asks. */
export class Requests {
  readonly answers: Answer[] = []
  readonly #lab: LabPaths
  readonly #children: ChildProcess[] = []
  #stopping = false
  #failure: Error | undefined

  constructor(lab: LabPaths) {
    this.#lab = lab
  }

  start(host: HostSpec, routes: readonly Route[]): void {
    const targets = routes.map(({ name, host, port }): Target => ({ name, host, port }))
    const file = builtFile(this.#lab, 'js', 'test', 'chaos', 'prober.js')
    const args = [String(INTERVAL_MS), String(TIMEOUT_MS), JSON.stringify(targets)]
    const [command = '', ...rest] = onHost(this.#lab, host, 'prober', [process.execPath, file, ...args])
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#children.push(child)
    child.on('error', (error) => (this.#failure = error))
    child.on('exit', (code) => {
      if (!this.#stopping) this.#failure ??= new Error(`the prober of ${host.name} ended with ${String(code)}`)
    })
    createInterface({ input: child.stdout }).on('line', (line) => this.answers.push(JSON.parse(line) as Answer))
  }

  /** Ends the probers. Throws when one has ended by itself: what it did not ask was not shown. */
  async stop(): Promise<void> {
    this.#stopping = true
    const running = this.#children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
    await Promise.all(
      running.map(
        (child) =>
          new Promise((resolve) => {
            child.once('close', resolve)
            child.kill('SIGTERM')
          }),
      ),
    )
    if (this.#failure !== undefined) throw this.#failure
  }
}
