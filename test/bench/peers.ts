import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { inNetnsOf } from './lanes.ts'
import { BUILD } from './place.ts'

/** Kubernetes' own programs, built by test/peers. */
export const KUBERNETES = path.join(BUILD, 'peers', 'kubernetes-1.34')

const LIMIT_MS = 300_000
const LAST_WORDS = 600
const TOOLS = { 'xtables-legacy-multi': 'iptables', nft: 'nftables', etcd: 'etcd-server', openssl: 'openssl' } as const

/** Why there is no kube-proxy to measure beside; undefined when there is one. */
export function missingPeer(): string | undefined {
  for (const program of ['kube-apiserver', 'kube-proxy']) {
    if (!existsSync(path.join(KUBERNETES, program))) {
      return `no ${program}; with Go, test/peers/build.sh kubernetes-1.34 builds it`
    }
  }
  for (const [tool, debian] of Object.entries(TOOLS)) {
    if (which(tool) === undefined) return `no ${tool} in PATH; it is in Debian's ${debian}`
  }
  return undefined
}

export function which(tool: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin']
  return directories.map((directory) => path.join(directory, tool)).find((file) => existsSync(file))
}

/** A program that runs beside in a namespace, and ends with this process even when it is killed. */
export class Program {
  readonly #name: string
  readonly #log: string
  readonly #child: ChildProcess

  constructor(netns: string, command: readonly [string, ...string[]], log: string, env: NodeJS.ProcessEnv = {}) {
    const argv = ['setpriv', '--pdeathsig', 'KILL', ...inNetnsOf(netns), ...command]
    // To a file: a child whose output nobody reads would stop.
    const output = openSync(log, 'a')
    const stdio = ['ignore', output, output] as const
    this.#child = spawn(argv[0]!, argv.slice(1), { env: { ...process.env, ...env }, stdio: [...stdio] })
    closeSync(output)
    this.#name = path.basename(command[0])
    this.#log = log
  }

  get pid(): number {
    return this.#child.pid!
  }

  get #isOver(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** Waits until something holds of it; with its last words when that does not come. */
  async until(what: string, holds: () => boolean | Promise<boolean>, everyMs = 100): Promise<void> {
    const limit = performance.now() + LIMIT_MS
    let last: unknown
    while (performance.now() < limit && !this.#isOver) {
      try {
        if (await holds()) return
      } catch (error) {
        last = error
      }
      await delay(everyMs)
    }
    const how = this.#isOver ? 'ended' : `took more than ${LIMIT_MS / 1000} s`
    throw new Error(`${what}: ${this.#name} ${how}: ${this.lastWords()}`, { cause: last })
  }

  /** All it has said. */
  log(): string {
    return readFileSync(this.#log, 'utf8')
  }

  lastWords(): string {
    return this.log().slice(-LAST_WORDS)
  }

  /** Resolves when it has ended. */
  ended(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isOver) return resolve()
      this.#child.once('exit', () => resolve())
    })
  }

  kill(): Promise<void> {
    const ended = this.ended()
    this.#child.kill('SIGKILL')
    return ended
  }
}
