/**
 * One reader of the benchmark's etcd, in a process of its own so that its CPU and memory are its own; told what to do by
 * messages of its parent. Needs `--expose-gc`.
 */
import type { IEvent } from 'etcd3'
import type { IntervalHistogram } from 'node:perf_hooks'
import { Etcd3 } from 'etcd3'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { systemClock } from '../../agent/lib/clock.ts'
import { prefixEnd } from '../../agent/lib/etcd.ts'
import { silentLog } from '../../agent/lib/log.ts'
import { IPCACHE_MAP } from '../../agent/maps/ipcache.ts'
import { Pipelines } from '../../agent/run/pipelines.ts'
import { startMeshSource } from '../../agent/sources/mesh/index.ts'
import { LOCAL_SOURCE, SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import { EndpointTarget } from '../../agent/targets/endpoints.ts'
import { IpcacheTarget } from '../../agent/targets/ipcache.ts'
import { MAPS } from '../../agent/maps/layout.gen.ts'
import { BpfMap } from '../../native/index.ts'
import { cpuMs } from './measure.ts'
import { Balancer, createLbMaps, snapshotOf } from './world.ts'

/** What the parent asks for. */
export interface MeshJob {
  /** `receive`: pages and events are read and dropped; `state`: into tables; `agent`: through to the kernel's map. */
  readonly role: 'receive' | 'state' | 'agent'
  readonly url: string
  /** Keys of addresses, for `receive`. */
  readonly prefix: string
  readonly clusters: readonly string[]
  readonly mapEntries: number
}

/** A job once, then `watch` (a phase begins) and what ends the phase, in turn; `audit` is a phase by itself. */
export type MeshOrder = MeshJob | 'watch' | 'audit' | 'stop' | Until

/** A phase ends with so many events, or so many services with backends; `ready`: and every cluster in step. */
export interface Until {
  readonly events?: number
  readonly services?: number
  readonly ready?: boolean
}

/** What a phase of a child cost. */
export interface MeshReply {
  readonly cpu: number
  readonly wall: number
  /** Bytes of heap, buffers and typed arrays after a collection. */
  readonly memory: number
  /** The same before anything was listed. */
  readonly before: number
  readonly rss: number
  readonly endpoints: number
  readonly backends: number
  readonly events: number
  /** Messages they came in; of `receive` only. */
  readonly responses: number
  readonly delayP99: number
  readonly delayMax: number
  /** When the kernel's map had each key of this phase, by monotonic clock in milliseconds. */
  readonly written: readonly (readonly [key: string, at: number])[]
}

/** A reader: `listed` resolves when all is in place; afterwards it counts what comes. */
interface Reader {
  listed(): Promise<void>
  ready(): boolean
  /** All that came is where it belongs. */
  settled(): Promise<void>
  endpoints(): number
  services(): number
  backends(): number
  events(): number
  responses(): number
  audit(): Promise<void>
  written(): (readonly [string, number])[]
  stop(): Promise<void>
}

const PAGE = 10_000
/** A delay is measured from one tick to the next, so it counts from here. */
const TICK_MS = 10

async function receiver(job: MeshJob): Promise<Reader> {
  // Without a deadline: on a busy machine a page takes seconds.
  const client = new Etcd3({ hosts: job.url })
  const end = prefixEnd(job.prefix)
  let keys = 0
  let events = 0
  let responses = 0
  const stream = await client.watchClient.watch()
  return {
    async listed() {
      let key = Buffer.from(job.prefix)
      let revision: string | undefined
      for (;;) {
        const page = await client.kv.range({ key, range_end: end, limit: PAGE, ...(revision ? { revision } : {}) })
        revision ??= page.header.revision
        keys += page.kvs.length
        const last = page.kvs.at(-1)
        if (!page.more || last === undefined) break
        key = Buffer.concat([last.key, Buffer.from([0])])
      }
      stream.on('data', (message: { events: IEvent[] }) => {
        events += message.events.length
        if (message.events.length > 0) responses++
      })
      stream.write({
        create_request: { key: Buffer.from(job.prefix), range_end: end, start_revision: String(BigInt(revision) + 1n) },
      })
    },
    ready: () => true,
    settled: async () => undefined,
    endpoints: () => keys,
    services: () => 0,
    backends: () => 0,
    events: () => events,
    responses: () => responses,
    audit: async () => undefined,
    written: () => [],
    async stop() {
      stream.cancel()
      client.close()
    },
  }
}

async function importer(job: MeshJob): Promise<Reader> {
  const tables = createTables()
  const sync = new SyncGates()
  const writer = new Writer(tables, sync)
  let events = 0
  const directory = mkdtempSync(path.join(tmpdir(), `weft-bench-${process.pid}-`))
  for (const name of job.clusters) writeFileSync(path.join(directory, name), `endpoints:\n- ${job.url}\n`)
  const written: (readonly [string, number])[] = []
  const pipelines = job.role === 'agent' ? kernel(job, tables, writer, sync, written) : undefined
  await pipelines?.start()
  writer.subscribe((change) => {
    if (change.table === 'ips') events++
  })
  if (job.role === 'agent') writer.synced(LOCAL_SOURCE)
  let mesh: { stop(): Promise<void> } | undefined
  const ready = (): boolean => job.clusters.every((name) => tables.clusters.get(name)?.state === 'ready')
  return {
    ready,
    settled: async () => pipelines?.idle(),
    async listed() {
      mesh = await startMeshSource({
        ...{ configDir: directory, cluster: { name: 'west', id: 1 }, writer, sync },
        ...{ clock: systemClock, random: Math.random, log: silentLog },
      })
      await new Promise<void>((resolve) => {
        if (ready()) return resolve()
        const unsubscribe = writer.subscribe((change) => {
          if (change.table !== 'clusters' || !ready()) return
          unsubscribe()
          resolve()
        })
      })
      await pipelines?.idle()
    },
    endpoints: () => tables.ips.size,
    backends: () => [...tables.backends.values()].reduce((sum, set) => sum + set.endpoints.length, 0),
    services: () => tables.backends.size,
    events: () => events,
    responses: () => 0,
    audit: async () => pipelines?.ipcache.audit(),
    written: () => written.splice(0),
    async stop() {
      await mesh?.stop()
      await pipelines?.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** The agent's pipelines over maps of this process; each write to the ipcache is noted with its time. */
function kernel(
  job: MeshJob,
  tables: ReturnType<typeof createTables>,
  writer: Writer,
  sync: SyncGates,
  written: (readonly [string, number])[],
): Pipelines {
  const target = new IpcacheTarget(BpfMap.create({ ...IPCACHE_MAP, maxEntries: job.mapEntries }))
  const set = target.set.bind(target)
  target.set = async (batch) => {
    const failures = await set(batch)
    const at = performance.timeOrigin + performance.now()
    if (watching) for (const [key] of batch) written.push([key, at])
    return failures
  }
  return new Pipelines({
    targets: {
      lb: new Balancer(createLbMaps(), systemClock).target,
      endpoints: new EndpointTarget(BpfMap.create(MAPS.w_ep_v1)),
      ipcache: target,
      routes: undefined,
    },
    ...{ snapshot: snapshotOf(tables), writer, sync, clock: systemClock, random: Math.random, log: silentLog },
    auditMs: 0,
  })
}

let reader: Reader | undefined
/** Not while listing: the notes would count as the agent's memory. */
let watching = false
let delay: IntervalHistogram = monitorEventLoopDelay({ resolution: TICK_MS })
let start = { cpu: 0, at: 0, events: 0, responses: 0 }
const atStart = memory()
let before = 0

function memory(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function begin(): void {
  delay = monitorEventLoopDelay({ resolution: TICK_MS })
  delay.enable()
  start = {
    ...{ cpu: cpuMs(), at: performance.now() },
    ...{ events: reader?.events() ?? 0, responses: reader?.responses() ?? 0 },
  }
}

function reply(): void {
  delay.disable()
  const cpu = cpuMs() - start.cpu
  const wall = performance.now() - start.at
  const answer: MeshReply = {
    ...{ cpu, wall },
    memory: memory() - atStart,
    before,
    rss: process.memoryUsage().rss,
    endpoints: reader!.endpoints(),
    backends: reader!.backends(),
    events: reader!.events() - start.events,
    responses: reader!.responses() - start.responses,
    delayP99: Math.max(0, delay.percentile(99) / 1e6 - TICK_MS),
    delayMax: Math.max(0, delay.max / 1e6 - TICK_MS),
    written: reader!.written(),
  }
  process.send!(answer)
}

async function reached({ events = 0, services = 0, ready = false }: Until): Promise<void> {
  const { events: first } = start
  const due = (): boolean =>
    reader!.events() - first >= events && reader!.services() >= services && (!ready || reader!.ready())
  while (!due()) await new Promise((resolve) => setTimeout(resolve, 50))
}

async function handle(order: MeshOrder): Promise<void> {
  if (order === 'stop') {
    await reader?.stop()
    process.disconnect()
  } else if (order === 'watch') {
    watching = true
    begin()
    process.send!('watching')
  } else if (order === 'audit') {
    begin()
    await reader!.audit()
    reply()
  } else if ('role' in order) {
    reader = order.role === 'receive' ? await receiver(order) : await importer(order)
    before = memory() - atStart
    begin()
    await reader.listed()
    reply()
  } else {
    await reached(order)
    await reader!.settled()
    reply()
  }
}

process.on('message', (message) => {
  handle(message as MeshOrder).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(1)
  })
})
