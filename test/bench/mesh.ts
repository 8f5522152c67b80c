import type { ChildProcess } from 'node:child_process'
import type { MeshJob, MeshOrder, MeshReply } from './mesh-child.ts'
import type { Origin } from './mesh-records.ts'
import type { Result } from './report.ts'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Etcd3 } from 'etcd3'
import { EtcdProcess } from '../net/etcd.ts'
import { announce, ipPair, ipPairs, ipPrefix, MAX_TXN, putAll, servicePairs } from './mesh-records.ts'
import { sessionAhead } from './place.ts'
import { ms, result } from './report.ts'

/** Addresses of the big cluster; `MESH_ENDPOINTS` sets another scale. */
const ENDPOINTS = Number(process.env['MESH_ENDPOINTS'] ?? 1_000_000)
const SERVICES = ENDPOINTS / 20
const BACKENDS_EACH = 5
const CLUSTERS = 16
const ENDPOINTS_EACH = 10_000
/** Changes of a second, how long they go on, and how many of them are one transaction: etcd sends these in one message. */
const RATE = 5000
const SECONDS = 5
const TXN = 50
/** As after a pause, when etcd has much to tell at once. */
const BIG_TXN = 500
/** One change in each message. etcd takes fewer of those. */
const SINGLE_RATE = 1000
const IDLE_MS = 2000
/** How long events come before they are counted. */
const WARM_SECONDS = 10

const EAST: Origin = { name: 'east', id: 2, cached: false }

export const MESH_IDS = ['K1', 'K2', 'K2w', 'K3', 'KD', 'MS']

/** A reader in a process of its own. */
class Child {
  readonly #process: ChildProcess

  constructor() {
    const file = fileURLToPath(new URL(import.meta.url.replace(/mesh\.([jt]s)$/, 'mesh-child.$1')))
    this.#process = fork(file, [], { execArgv: ['--expose-gc'] })
  }

  async ask<T = MeshReply>(order: MeshOrder): Promise<T> {
    const ended = new AbortController()
    const onExit = (): void => ended.abort(new Error('a reader ended early'))
    this.#process.once('exit', onExit)
    this.#process.send(order)
    const [reply] = (await once(this.#process, 'message', { signal: ended.signal })) as [T]
    this.#process.off('exit', onExit)
    return reply
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.kill(signal)
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#process.send('stop' satisfies MeshOrder)
    await ended
  }
}

interface Pace {
  readonly rate: number
  readonly count: number
  readonly txn: number
}

const STEADY: Pace = { rate: RATE, count: RATE * SECONDS, txn: TXN }
const SINGLE: Pace = { rate: SINGLE_RATE, count: SINGLE_RATE * SECONDS, txn: 1 }
const BIG: Pace = { rate: RATE, count: RATE * SECONDS, txn: BIG_TXN }

/** Changes addresses at a pace; resolves with when each was sent, by its prefix. */
async function change(client: Etcd3, { rate, count, txn }: Pace, version: number): Promise<Map<string, number>> {
  const sent = new Map<string, number>()
  const start = performance.now()
  const pending: Promise<void>[] = []
  for (let n = 0; n < count; n += txn) {
    const wait = start + (n / rate) * 1000 - performance.now()
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    const pairs = Array.from({ length: txn }, (_, i) => ipPair(EAST, ((n + i) * 7919) % ENDPOINTS, version))
    const at = performance.timeOrigin + performance.now()
    for (const [key] of pairs) sent.set(`${key.slice(key.lastIndexOf('/') + 1)}/32`, at)
    pending.push(putAll(client, pairs))
  }
  await Promise.all(pending)
  return sent
}

/** Everything is changed while the reader is stopped and its history compacted away: it lists again. */
async function resync(child: Child, etcd: EtcdProcess, client: Etcd3): Promise<MeshReply> {
  child.signal('SIGSTOP')
  await change(client, { ...STEADY, count: RATE }, 99)
  const { header } = await client.kv.range({ key: Buffer.from('x') })
  await client.kv.compact({ revision: header.revision, physical: true })
  await etcd.kill()
  await etcd.launch()
  child.signal('SIGCONT')
  await child.ask('watch')
  return child.ask({ events: 1, ready: true })
}

interface Followed {
  readonly list: MeshReply
  readonly watch: MeshReply
  readonly single: MeshReply
  readonly big: MeshReply
}

interface Figures {
  readonly receive: Followed
  readonly state: Followed & { readonly resync: MeshReply }
  readonly agent: Omit<Followed, 'single' | 'big'> & { readonly services: MeshReply; readonly audit: MeshReply }
  readonly many: MeshReply
  /** Milliseconds from a put to the kernel's map, sorted. */
  readonly late: readonly number[]
}

async function measure(etcd: EtcdProcess, client: Etcd3): Promise<Figures> {
  const job = { url: etcd.url, prefix: ipPrefix(EAST), clusters: [EAST.name], mapEntries: ENDPOINTS + 4096 }
  const begin = async (role: MeshJob['role']): Promise<{ child: Child; list: MeshReply }> => {
    const child = new Child()
    return { child, list: await child.ask({ ...job, role }) }
  }
  let version = 0
  const watch = async (child: Child, pace = STEADY): Promise<{ watch: MeshReply; sent: Map<string, number> }> => {
    // A steady watch: the first thousands of events run in an interpreter, and pay for being compiled.
    await child.ask('watch')
    await change(client, { ...pace, count: pace.rate * WARM_SECONDS }, ++version)
    await child.ask({ events: pace.rate * WARM_SECONDS })
    // What the process uses while nothing happens is not the events' cost.
    await child.ask('watch')
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS))
    const idle = await child.ask({})
    await child.ask('watch')
    const sent = await change(client, pace, ++version)
    const busy = await child.ask({ events: pace.count })
    return { watch: { ...busy, cpu: busy.cpu - (idle.cpu / idle.wall) * busy.wall }, sent }
  }

  const follow = async ({ child, list }: { child: Child; list: MeshReply }): Promise<Followed> => ({
    list,
    watch: (await watch(child)).watch,
    single: (await watch(child, SINGLE)).watch,
    big: (await watch(child, BIG)).watch,
  })

  const bare = await begin('receive')
  const receive = await follow(bare)
  await bare.child.stop()

  const tables = await begin('state')
  const state = { ...(await follow(tables)), resync: await resync(tables.child, etcd, client) }
  await tables.child.stop()

  const whole = await begin('agent')
  const { watch: written, sent } = await watch(whole.child)
  const audit = await whole.child.ask('audit')
  await whole.child.ask('watch')
  await putAll(client, servicePairs(EAST, SERVICES, BACKENDS_EACH))
  const services = await whole.child.ask({ services: SERVICES })
  await whole.child.stop()

  const origins = Array.from({ length: CLUSTERS }, (_, i) => ({ name: `c${i}`, id: 10 + i, cached: true }))
  for (const origin of origins) {
    await putAll(client, ipPairs(origin, ENDPOINTS_EACH))
    await announce(client, origin)
  }
  const child = new Child()
  const many = await child.ask<MeshReply>({ ...job, clusters: origins.map(({ name }) => name), role: 'state' })
  await child.stop()

  const late = written.written.flatMap(([key, at]) => (sent.has(key) ? [at - sent.get(key)!] : []))
  late.sort((a, b) => a - b)
  return { receive, state, agent: { list: whole.list, watch: written, services, audit }, many, late }
}

/** A real etcd in memory with a big cluster's records: a bare receiver, the tables, the whole agent. */
export async function benchMesh(ids: ReadonlySet<string>): Promise<Result[]> {
  Object.assign(process.env, ENVIRONMENT)
  const directory = process.env['TMPDIR']
  process.env['TMPDIR'] = '/dev/shm'
  await using etcd = await EtcdProcess.start()
  if (directory === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = directory
  // Without the deadlines of an agent's client: filling keeps etcd busy.
  const client = new Etcd3({ hosts: etcd.url })
  try {
    await putAll(client, ipPairs(EAST, ENDPOINTS))
    await announce(client, EAST)
    const figures = await sessionAhead(() => measure(etcd, client))
    return report(figures).filter(({ id }) => ids.has(id))
  } finally {
    client.close()
  }
}

/** Of etcd: room for a million keys; its directory is in memory anyway. */
const ENVIRONMENT = {
  ETCD_QUOTA_BACKEND_BYTES: String(8 * 2 ** 30),
  ETCD_UNSAFE_NO_FSYNC: 'true',
  ETCD_MAX_TXN_OPS: String(MAX_TXN),
}

/** What one message costs, and one event in it: from messages of `TXN` and of `BIG_TXN` events. */
function parts({ watch, big }: Followed): string {
  const message = (event(watch) - event(big)) / (1 / TXN - 1 / BIG_TXN)
  return `${us(message)} a message + ${us(event(big) - message / BIG_TXN)} an event`
}

const event = ({ cpu, events }: MeshReply): number => (cpu * 1000) / events
const us = (value: number): string => `${value.toFixed(1)} µs`

function report({ receive, state, agent, many, late }: Figures): Result[] {
  const each = ({ cpu, endpoints }: MeshReply): number => (cpu * 1000) / endpoints
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`
  const phases = {
    ...{ list: state.list, watch: state.watch, 'watch, singly': state.single, 'watch, at once': state.big },
    ...{ 'resync after compaction': state.resync, 'agent: list': agent.list, 'agent: watch': agent.watch },
    ...{ 'agent: audit': agent.audit, 'agent: services': agent.services },
    [`${CLUSTERS} clusters`]: many,
  }
  const delays = Object.entries(phases).map(([name, { delayP99, delayMax }]) => {
    return `${name} ${delayP99.toFixed(0)} (max ${delayMax.toFixed(0)})`
  })
  const ways = `at once (${BIG_TXN}) ${us(event(state.big))}, receiver ${us(event(receive.big))}; singly ${us(event(state.single))}, receiver ${us(event(receive.single))}`
  const load = `load ${loadavg()[0]!.toFixed(1)}`
  const n = ENDPOINTS.toLocaleString('en').replaceAll(',', ' ')
  return [
    result({
      id: 'K1',
      what: `${n} remote addresses, etcd → tables, CPU`,
      measured: each(state.list) / each(receive.list),
      goal: 1.3,
      against: `a bare etcd3 receiver ${us(each(receive.list))} each`,
      detail: `${us(each(state.list))} each, ${ms(state.list.wall)} wall; whole agent ${us(each(agent.list))}, ${ms(agent.list.wall)}; ${CLUSTERS} × ${ENDPOINTS_EACH} ${us(each(many))}`,
    }),
    result({
      id: 'K2',
      what: 'memory per remote address, rows and revisions',
      measured: state.list.memory / state.list.endpoints,
      goal: 256,
      unit: 'B',
      against: "Cilium's published 5 kB",
      detail: `${mib(state.list.memory)}, RSS ${mib(state.list.rss)}`,
    }),
    result({
      id: 'K2w',
      what: 'memory per remote address, whole agent (kernel map aside)',
      measured: (agent.list.memory - agent.list.before) / agent.list.endpoints,
      goal: 256,
      unit: 'B',
      against: "Cilium's published 5 kB",
      detail: `${mib(agent.list.memory - agent.list.before)} above an empty agent, RSS ${mib(agent.list.rss)}; with ${agent.services.backends} backends of ${SERVICES} services ${mib(agent.services.memory - agent.list.memory)} more`,
    }),
    result({
      id: 'K3',
      what: `steady watch at ${RATE} changes/s, CPU per event, etcd → tables`,
      measured: event(state.watch),
      goal: 5,
      unit: 'µs',
      against: `a bare etcd3 receiver ${us(event(receive.watch))}`,
      detail: `${receive.watch.responses} messages of ${TXN}; ${ways}; whole agent ${us(event(agent.watch))}`,
      profile: `${ways}; receiver ${parts(receive)}; ours ${parts(state)}`,
    }),
    result({
      id: 'KD',
      what: 'delay of the event loop, p99, worst phase',
      measured: Math.max(...Object.values(phases).map(({ delayP99 }) => delayP99)),
      goal: 20,
      unit: 'ms',
      against: 'nothing',
      detail: `${load}; audit of ${n} ${ms(agent.audit.cpu)} CPU in ${ms(agent.audit.wall)}; ${delays.join(', ')}`,
      profile: delays.join(', '),
    }),
    result({
      id: 'MS',
      what: `etcd put → kernel map at ${RATE} changes/s, p99`,
      measured: late[Math.floor(late.length * 0.99)] ?? Infinity,
      goal: 20,
      unit: 'ms',
      against: 'nothing',
      detail: `p50 ${ms(late[late.length >> 1] ?? Infinity)}, ${late.length} changes; put included`,
    }),
  ]
}
