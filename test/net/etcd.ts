import type { ChildProcess } from 'node:child_process'
import type { Etcd3 } from 'etcd3'
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../agent/lib/clock.ts'
import { createEtcdClient } from '../../agent/lib/etcd.ts'
import { EtcdSession } from '../../agent/lib/etcd-session.ts'
import { end } from '../processes.ts'

/** Client certificates are demanded; `client` is whose name the test acts in. */
export interface EtcdTls {
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
  readonly client: { readonly caFile: string; readonly certFile: string; readonly keyFile: string }
  /** Name in the URL; default is the address. */
  readonly host?: string
}

/** A real etcd, on loopback unless told otherwise, alone in a directory of its own; killed by its pid. */
export class EtcdProcess {
  readonly url: string
  readonly #directory: string
  readonly #arguments: readonly string[]
  #child: ChildProcess | undefined
  #client: Etcd3 | undefined

  readonly #tls: EtcdTls | undefined

  private constructor(directory: string, address: string, port: number, peerPort: number, tls?: EtcdTls) {
    this.url = `${tls === undefined ? 'http' : 'https'}://${tls?.host ?? address}:${port}`
    this.#tls = tls
    const listen = `${tls === undefined ? 'http' : 'https'}://${address}:${port}`
    this.#directory = directory
    const peer = `http://127.0.0.1:${peerPort}`
    this.#arguments = [
      ...['--name', 'test', '--data-dir', join(directory, 'data'), '--log-level', 'error', '--logger', 'zap'],
      ...['--listen-client-urls', listen, '--advertise-client-urls', listen],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `test=${peer}`],
      ...['--initial-cluster-token', `weft-${process.pid}-${port}`],
      ...(tls === undefined ? [] : ['--client-cert-auth', '--trusted-ca-file', tls.caFile]),
      ...(tls === undefined ? [] : ['--cert-file', tls.certFile, '--key-file', tls.keyFile]),
    ]
  }

  static async start(address = '127.0.0.1', tls?: EtcdTls): Promise<EtcdProcess> {
    for (let tries = 1; ; tries++) {
      const directory = await mkdtemp(join(tmpdir(), `weft-etcd-${process.pid}-`))
      const etcd = new EtcdProcess(directory, address, await freePort(), await freePort(), tls)
      try {
        await etcd.launch()
        return etcd
      } catch (error) {
        await etcd[Symbol.asyncDispose]()
        // Somebody may have been faster to take a port that was free.
        if (tries === 3) throw error
      }
    }
  }

  /** A client of the test's own. */
  get client(): Etcd3 {
    return (this.#client ??= createEtcdClient({ endpoints: [this.url], ...this.#tls?.client }))
  }

  /** Starts the process (again, on the same data) and waits until it answers. */
  async launch(): Promise<void> {
    const child = spawn('etcd', this.#arguments, { stdio: ['ignore', 'ignore', 'inherit'] })
    this.#child = child
    // What nobody stops, as another one's start has failed, must not keep this process from its exit, which stops it.
    child.unref()
    process.once('exit', this.#onExit)
    await until(
      () => (this.#tls === undefined ? answers(this.url) : this.#answersClient()),
      () => child.exitCode,
    )
  }

  async #answersClient(): Promise<boolean> {
    const client = createEtcdClient({ endpoints: [this.url], ...this.#tls?.client })
    try {
      await client.maintenance.status()
      return true
    } catch {
      return false
    } finally {
      client.close()
    }
  }

  readonly #onExit = (): void => {
    this.#child?.kill('SIGKILL')
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#child = undefined
    process.off('exit', this.#onExit)
    this.#client?.close()
    this.#client = undefined
    await end(child)
  }

  /** Loses all data: the next launch is an empty store that calls itself by the same cluster id. */
  async wipe(): Promise<void> {
    await rm(join(this.#directory, 'data'), { recursive: true, force: true })
  }

  /** Copies the data aside, as a backup of the machine would: the store goes on after it. */
  async snapshot(): Promise<void> {
    await this.kill()
    await cp(join(this.#directory, 'data'), join(this.#directory, 'backup'), { recursive: true })
    await this.launch()
  }

  /** The data is again what it was at the snapshot. The process must not run. */
  async restore(): Promise<void> {
    await this.wipe()
    await cp(join(this.#directory, 'backup'), join(this.#directory, 'data'), { recursive: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#directory, { recursive: true, force: true })
  }

  /** Keys and values under a prefix. */
  async dump(prefix: string): Promise<Map<string, string>> {
    return new Map(Object.entries(await this.client.getAll().prefix(prefix).strings()))
  }

  async put(key: string, value: string): Promise<void> {
    await this.client.put(key).value(value)
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`, { signal: AbortSignal.timeout(1000) })).ok
  } catch {
    return false
  }
}

/** Waits for the first of: the condition holds, the process ended. */
async function until(condition: () => Promise<boolean>, exitCode: () => number | null): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!(await condition())) {
    if (exitCode() !== null) throw new Error(`etcd ended with code ${exitCode()}`)
    if (Date.now() > deadline) throw new Error('etcd does not answer')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** One that nobody listens on, and that the kernel gives to no connection. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 30_000)
    const server = createServer()
    const listens = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!listens) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

/** Keys in the order in which they were put, from now on. */
export async function watchKeys(
  etcd: EtcdProcess,
  prefix: string,
): Promise<{ keys: string[]; until(condition: (keys: readonly string[]) => boolean): Promise<void>; close(): void }> {
  const session = new EtcdSession({
    endpoint: { endpoints: [etcd.url] },
    clock: systemClock,
    pingMs: 5000,
    onAlive: () => undefined,
  })
  const keys: string[] = []
  let wake: () => void = () => undefined
  const { revision } = await session.get(prefix)
  await session.watch(
    { key: prefix, prefix: true, from: revision + 1n },
    {
      events: (events) => {
        for (const { type, kv } of events) if (type === 'Put') keys.push(kv.key.toString())
        wake()
      },
      progress: () => undefined,
      compacted: () => undefined,
    },
  )
  return {
    keys,
    async until(condition) {
      while (!condition(keys)) await Promise.race([session.failure, new Promise<void>((resolve) => (wake = resolve))])
    },
    close: () => session.close(new Error('closed')),
  }
}
