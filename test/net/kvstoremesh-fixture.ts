import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../agent/lib/clock.ts'
import type { EtcdProcess } from './etcd.ts'
import { runKvstoremesh } from '../../agent/run/kvstoremesh.ts'
import { systemClock } from '../../agent/lib/clock.ts'
import { EtcdSession } from '../../agent/lib/etcd-session.ts'
import { silentLog } from '../../agent/lib/log.ts'
import {
  CACHE_HEARTBEAT_KEY,
  canaryKey,
  clusterConfigKey,
  HEARTBEAT_KEY,
  WIRE_RESOURCES,
} from '../../agent/types/wire/keys.ts'
import { eventually } from '../eventually.ts'
import { replaceFile } from '../replace-file.ts'

/** The kvstoremesh of cluster west (id 1), in this process, over a configuration directory of its own. */
export class Kvstoremesh {
  readonly directory: string
  readonly socket: string
  readonly #local: EtcdProcess
  #abort: AbortController | undefined
  #running: Promise<void> | undefined

  private constructor(directory: string, local: EtcdProcess) {
    this.directory = directory
    this.socket = join(directory, '.sock')
    this.#local = local
  }

  static async create(local: EtcdProcess): Promise<Kvstoremesh> {
    return new Kvstoremesh(await mkdtemp(join(tmpdir(), `weft-kvm-${process.pid}-`)), local)
  }

  connect(cluster: string, url: string): Promise<void> {
    return replaceFile(this.directory, cluster, `endpoints:\n- ${url}\n`)
  }

  disconnect(cluster: string): Promise<void> {
    return rm(join(this.directory, cluster))
  }

  start(
    options: { clock?: Clock; leaseTtlSeconds?: number; silentAfterMs?: number; heartbeatStaleMs?: number } = {},
  ): void {
    this.#abort = new AbortController()
    this.#running = runKvstoremesh(
      {
        clusterName: 'west',
        clusterId: 1,
        clustermeshConfig: this.directory,
        etcdEndpoints: [this.#local.url],
        apiSocket: this.socket,
        logLevel: 'silent',
        log: silentLog,
        ...options,
      },
      this.#abort.signal,
    )
  }

  async stop(): Promise<void> {
    this.#abort?.abort(new Error('stopped'))
    await this.#running
  }

  async get(path: string): Promise<{ code: number; body: string }> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.socket, path }, (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => (body += chunk.toString()))
        response.on('end', () => resolve({ code: response.statusCode ?? 0, body }))
      })
      call.on('error', reject).end()
    })
  }

  /** Resolves once `GET /readyz` says so. */
  async ready(): Promise<void> {
    await eventually(async () => (await this.get('/readyz')).code === 200, { timeoutMs: 20_000, what: 'kvstoremesh' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** What an exporter writes beside its records. */
export async function announceExporter(etcd: EtcdProcess, cluster: string, id: number, canaries = true): Promise<void> {
  await etcd.put(HEARTBEAT_KEY, new Date().toISOString())
  await etcd.put(
    clusterConfigKey(cluster),
    `{"id":${id},"capabilities":{"syncedCanaries":true,"maxConnectedClusters":255,"serviceExportsEnabled":false}}`,
  )
  if (canaries) for (const resource of WIRE_RESOURCES) await etcd.put(canaryKey(resource, cluster), 'now')
}

/** Values by key, one character for each byte; without kvstoremesh's own heartbeat, which changes all the time. */
export async function bytes(etcd: EtcdProcess, prefix: string): Promise<Map<string, string>> {
  const all = await etcd.client.getAll().prefix(prefix).buffers()
  const records = Object.entries(all).filter(([key]) => key !== CACHE_HEARTBEAT_KEY)
  return new Map(records.map(([key, value]) => [key, value.toString('latin1')]))
}

/** Events under a prefix, in order, from now on: `put KEY`, `delete KEY`; kvstoremesh's own heartbeat aside. */
export async function watchEvents(
  etcd: EtcdProcess,
  prefix: string,
): Promise<{ readonly events: string[]; close(): void }> {
  const endpoint = { endpoints: [etcd.url] }
  const session = new EtcdSession({ endpoint, clock: systemClock, pingMs: 5000, onAlive: () => undefined })
  const events: string[] = []
  const { revision } = await session.get(prefix)
  await session.watch(
    { key: prefix, prefix: true, from: revision + 1n },
    {
      events: (batch) => {
        for (const { type, kv } of batch) {
          const key = kv.key.toString()
          if (key !== CACHE_HEARTBEAT_KEY) events.push(`${type === 'Put' ? 'put' : 'delete'} ${key}`)
        }
      },
      progress: () => undefined,
      compacted: () => undefined,
    },
  )
  return { events, close: () => session.close(new Error('closed')) }
}

/** TCP connections that clients have to an etcd. */
export function connectionsTo(etcd: EtcdProcess): number {
  const { port } = new URL(etcd.url)
  const lines = execFileSync('ss', ['-tnH', 'state', 'established', 'sport', '=', `:${port}`], { encoding: 'utf8' })
  return lines.split('\n').filter((line) => line !== '').length
}
