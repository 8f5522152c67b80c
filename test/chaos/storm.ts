import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Snapshot } from '../../agent/desired/snapshot.ts'
import { selectBackends } from '../../agent/desired/select-backends.ts'
import { systemClock, type Clock } from '../../agent/lib/clock.ts'
import { describeError } from '../../agent/lib/errors.ts'
import { silentLog } from '../../agent/lib/log.ts'
import { startMeshSource } from '../../agent/sources/mesh/index.ts'
import { SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import { decodeService } from '../../agent/types/wire/service.ts'
import { eventually } from '../eventually.ts'
import { EtcdProcess } from '../net/etcd.ts'
import { announce, EAST_SERVICE } from '../net/mesh-fixture.ts'
import { TcpProxy } from '../net/tcp-proxy.ts'
import { HTTP, service } from '../unit/desired/fixture.ts'
import { randomFrom } from './random.ts'

const NAMES = ['east', 'north', 'south'] as const
const KEYS = 5000
const WRITERS = 50
const UNREACHABLE_MS = 3000
const PREFIX = 'cilium/state/services/v1/'

export interface StormResult {
  readonly writes: number
  readonly faults: number
  /** Moments at which a backend of a cluster that was long gone was still chosen beside those of a healthy one. */
  readonly violations: readonly string[]
  /** Keys whose row is not what a fresh list of the store says. */
  readonly differences: readonly string[]
}

interface Peer {
  readonly name: (typeof NAMES)[number]
  readonly id: number
  readonly etcd: EtcdProcess
  readonly proxy: TcpProxy
  /** When its fault began; undefined while it works. */
  since: number | undefined
}

/** Node 20 has no AsyncDisposableStack. */
class Cleanup {
  readonly #steps: (() => unknown)[] = []

  defer(step: () => unknown): void {
    this.#steps.push(step)
  }

  use<T extends AsyncDisposable>(resource: T): T {
    this.defer(() => resource[Symbol.asyncDispose]())
    return resource
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const step of this.#steps.reverse()) await step()
  }
}

function record(peer: Pick<Peer, 'name' | 'id'>, name: string, host: number): string {
  return EAST_SERVICE.replaceAll('east', peer.name)
    .replace('"clusterID":2', `"clusterID":${peer.id}`)
    .replace('"name":"webpod"', `"name":"${name}"`)
    .replaceAll('10.1.', `10.${peer.id}.`)
    .replace(`10.${peer.id}.1.41`, `10.${peer.id}.${1 + (host >> 7)}.${1 + (host & 127)}`)
}

/**
 * Three clusters' etcds fail in every way a seed draws, one fault each at most, while writers change what is in them; then all
 * is healed, and what was imported is compared with a fresh list. The wall clock of the importer jumps with the faults.
 */
export async function storm(options: { seed: number; ms: number; say: (text: string) => void }): Promise<StormResult> {
  const random = randomFrom(options.seed)
  const pick = (n: number): number => Math.floor(random() * n)
  await using stack = new Cleanup()
  const directory = await mkdtemp(join(tmpdir(), `weft-storm-${process.pid}-`))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const peers: Peer[] = []
  for (const [i, name] of NAMES.entries()) {
    const etcd = stack.use(await EtcdProcess.start())
    const proxy = stack.use(await TcpProxy.start(etcd.url))
    const peer: Peer = { name, id: i + 2, etcd, proxy, since: undefined }
    await announce(etcd, name, { id: peer.id, leased: true })
    await etcd.put(`${PREFIX}${name}/default/webpod`, record(peer, 'webpod', 1))
    await writeFile(join(directory, name), `endpoints: ["${proxy.url}"]\n`)
    peers.push(peer)
  }

  let skew = 0
  const clock: Clock = { ...systemClock, date: () => new Date(Date.now() + skew) }
  const [tables, sync] = [createTables(), new SyncGates()]
  const writer = new Writer(tables, sync)
  const row = service()
  writer.upsertService(row)
  const mesh = await startMeshSource({
    ...{
      configDir: directory,
      cluster: { name: 'west', id: 1 },
      writer,
      sync,
      clock,
      random: Math.random,
      log: silentLog,
    },
    ...{ unreachableAfterMs: UNREACHABLE_MS, cacheTtlMs: 3_600_000, holdDownMs: 500 },
  })
  stack.defer(() => mesh.stop())
  const ready = (peer: Peer): boolean => {
    const cluster = tables.clusters.get(peer.name)
    return cluster?.state === 'ready' && !cluster.unreachable
  }
  await eventually(() => peers.every(ready), { what: 'all clusters are ready' })

  const snapshot: Snapshot = {
    tables,
    local: { clusterName: 'west', clusterId: 1, nodeName: 'west-worker', nodeAddresses: [] },
    lb: { algorithm: 'random', maglevSize: 251, nodePortRange: { first: 30000, last: 32767 } },
    isSynced: (source) => sync.isOpen(source),
    restored: () => [],
  }
  const violations: string[] = []
  const judge = (): void => {
    const now = performance.now()
    const healthy = peers.filter((peer) => peer.since === undefined && ready(peer))
    if (healthy.length === 0) return
    const chosen = new Set(selectBackends(snapshot, row, HTTP, 'all').flatMap((b) => (b.selected ? b.cluster : [])))
    if (chosen.size === 0) violations.push('a service with healthy backends has none selected')
    for (const { name, since } of peers) {
      const age = since === undefined ? 0 : now - since
      if (age > UNREACHABLE_MS + 1000 && chosen.has(name))
        violations.push(`${name} is still used ${age.toFixed()} ms after its fault`)
    }
  }

  const end = performance.now() + options.ms
  const over = (): boolean => performance.now() >= end
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
  let [writes, faults] = [0, 0]
  const write = async (): Promise<void> => {
    while (!over()) {
      const n = pick(KEYS)
      const peer = peers[n % peers.length]!
      const key = `${PREFIX}${peer.name}/default/s${n}`
      try {
        if (pick(10) === 0) await peer.etcd.client.delete().key(key)
        else await peer.etcd.put(key, record(peer, `s${n}`, pick(16_000)))
        writes++
      } catch {
        await pause(200) // its etcd is down: what was not written is not part of the truth
      }
      await pause(50 + pick(100))
    }
  }
  const faultsOf: readonly [string, (peer: Peer, ms: number) => Promise<void>][] = [
    ['cut', async ({ proxy }) => proxy.cut()],
    [
      'black hole',
      async ({ proxy }, ms) => {
        proxy.mute(true)
        await pause(ms)
        proxy.mute(false)
        proxy.cut()
      },
    ],
    [
      'kill -9',
      async ({ etcd }, ms) => {
        await etcd.kill()
        await pause(ms)
        await etcd.launch()
      },
    ],
    [
      'SIGSTOP',
      async ({ etcd }, ms) => {
        etcd.signal('SIGSTOP')
        await pause(ms)
        etcd.signal('SIGCONT')
      },
    ],
    [
      'compaction while away',
      async ({ proxy, etcd }, ms) => {
        proxy.mute(true)
        await pause(ms)
        const { header } = await etcd.client.put('filler').value(String(ms))
        await etcd.client.kv.compact({ revision: header.revision, physical: true })
        proxy.mute(false)
        proxy.cut()
      },
    ],
    ['clock step', async () => void (skew += (pick(2) === 0 ? -1 : 1) * pick(86_400_000))],
  ]
  const trouble = async (peer: Peer): Promise<void> => {
    while (!over()) {
      await pause(1000 + pick(4000))
      const [name, fault] = faultsOf[pick(faultsOf.length)]!
      const ms = 500 + pick(9000)
      options.say(`${peer.name}: ${name}, ${ms} ms`)
      faults++
      if (name !== 'cut' && name !== 'clock step') peer.since = performance.now()
      await fault(peer, ms)
      peer.since = undefined
    }
  }
  // An exporter beats; one that falls silent is taken for dead, which is not among these faults.
  const beat = (): void => {
    for (const { etcd } of peers) etcd.put('cilium/.heartbeat', new Date().toISOString()).catch(() => undefined)
  }
  for (const timer of [setInterval(judge, 100), setInterval(beat, 5_000)]) stack.defer(() => clearInterval(timer))
  await Promise.all([...peers.map(trouble), ...Array.from({ length: WRITERS }, write)])

  await eventually(() => peers.every(ready), { what: 'all clusters are back', timeoutMs: 60_000 })
  const differences = await eventually(
    async () => {
      const found = (await Promise.all(peers.map((peer) => compare(peer, tables)))).flat()
      if (found.length > 0) throw new Error(found.slice(0, 5).join('; '))
      return found
    },
    { what: '0 differences', timeoutMs: 20_000 },
  ).catch((error: unknown) => [describeError(error)])
  return { writes, faults, violations: [...new Set(violations)], differences }
}

async function compare({ name, etcd }: Peer, tables: ReturnType<typeof createTables>): Promise<string[]> {
  const truth = await etcd.dump(`${PREFIX}${name}/`)
  const found: string[] = []
  for (const [key, value] of truth) {
    const tail = key.slice(PREFIX.length)
    const have = JSON.stringify(tables.backends.get(tail)?.endpoints)
    if (have !== JSON.stringify(decodeService(value).backends)) found.push(`${tail} differs`)
  }
  for (const row of tables.backends.values())
    if (row.cluster === name && !truth.has(PREFIX + row.key)) found.push(`${row.key} is not in the store`)
  return found
}
