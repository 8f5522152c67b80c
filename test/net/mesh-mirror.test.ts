import type { EtcdEndpoint } from '../../agent/lib/etcd.ts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../agent/lib/clock.ts'
import { EtcdSession } from '../../agent/lib/etcd-session.ts'
import { PrefixMirror } from '../../agent/sources/mesh/etcd-mirror.ts'
import { eventually } from '../eventually.ts'
import { EtcdProcess } from './etcd.ts'
import { TcpProxy } from './tcp-proxy.ts'

const PREFIX = 'cilium/state/ip/v1/default/'

let etcd: EtcdProcess
let proxy: TcpProxy
let sessions: EtcdSession[]

beforeEach(async () => {
  sessions = []
  etcd = await EtcdProcess.start()
  proxy = await TcpProxy.start(etcd.url)
})

afterEach(async () => {
  for (const session of sessions) session.close(new Error('test ended'))
  await proxy[Symbol.asyncDispose]()
  await etcd[Symbol.asyncDispose]()
})

class Copy {
  readonly rows = new Map<string, string>()
  readonly log: string[] = []
  readonly mirror = new PrefixMirror(PREFIX, {
    put: (tail, value) => {
      this.rows.set(tail, value)
      this.log.push(`put ${tail}`)
    },
    delete: (tail) => {
      this.rows.delete(tail)
      this.log.push(`delete ${tail}`)
    },
  })

  /** Runs until the session ends; resolves once synced. */
  async follow(endpoint: EtcdEndpoint = { endpoints: [proxy.url] }): Promise<EtcdSession> {
    const session = new EtcdSession({ endpoint, clock: systemClock, pingMs: 500, onAlive: () => undefined })
    sessions.push(session)
    await new Promise<void>((resolve, reject) => {
      this.mirror.run(session, resolve).catch((error: Error) => {
        session.close(error)
        reject(error)
      })
    })
    return session
  }

  /** As the source does: a new session whenever one ends. */
  async followOn(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const session = new EtcdSession({
        endpoint: { endpoints: [proxy.url] },
        clock: systemClock,
        pingMs: 500,
        onAlive: () => undefined,
      })
      sessions.push(session)
      await this.mirror.run(session, () => undefined).catch((error: Error) => session.close(error))
      await new Promise((resolve) => setTimeout(resolve, 20)) // as a backoff would
    }
  }
}

async function putMany(count: number, value: (i: number) => string, name = (i: number) => `key-${i}`): Promise<void> {
  for (let start = 0; start < count; start += 100) {
    const success = []
    for (let i = start; i < Math.min(start + 100, count); i++) {
      success.push({ request_put: { key: Buffer.from(PREFIX + name(i)), value: Buffer.from(value(i)) } })
    }
    await etcd.client.kv.txn({ success })
  }
}

async function truth(): Promise<Map<string, string>> {
  const found = await etcd.dump(PREFIX)
  return new Map([...found].map(([key, value]) => [key.slice(PREFIX.length), value]))
}

function equalsTruth(copy: Copy): Promise<void> {
  return eventually(async () => expect(copy.rows).toEqual(await truth()), { timeoutMs: 20_000, what: 'the copy' })
}

test('a prefix of several pages is listed at one revision, then followed', async () => {
  await putMany(12_000, (i) => `value ${i}`)
  await etcd.put('cilium/state/ip/v1/default2/other', 'not ours')
  const copy = new Copy()
  await copy.follow()
  expect(copy.rows.size).toBe(12_000)
  expect(copy.rows).toEqual(await truth())
  await etcd.put(`${PREFIX}key-7`, 'changed')
  await etcd.client.delete().key(`${PREFIX}key-8`)
  await equalsTruth(copy)
})

test('a backlog that is cut early is taken up where the last event was, not where the store is', async () => {
  const copy = new Copy()
  const first = await copy.follow()
  first.close(new Error('away'))
  // A revision for each: etcd sends a backlog in messages of 1000 revisions, each with the store's newest in its header.
  for (let i = 0; i < 4000; i += 200) {
    await Promise.all(Array.from({ length: 200 }, (_, j) => etcd.put(`${PREFIX}key-${i + j}`, 'x'.repeat(200))))
  }
  proxy.cutAfter(450_000)
  await copy.follow()
  await eventually(() => proxy.cuts === 1, { what: 'the cut' })
  expect(copy.rows.size).toBeGreaterThan(0)
  expect(copy.rows.size).toBeLessThan(4000)
  await copy.follow()
  await equalsTruth(copy)
  expect(copy.rows.size).toBe(4000)
  // Resumed, not listed again: nothing was reported twice.
  expect(copy.log).toHaveLength(4000)
})

test('drained, and followed again meanwhile: all of it is reported gone before any of it is back', async () => {
  await putMany(3000, () => 'old')
  const copy = new Copy()
  const first = await copy.follow()
  first.close(new Error('away'))
  copy.log.length = 0
  const drained = copy.mirror.drain()
  await copy.follow()
  await drained
  await equalsTruth(copy)
  expect(copy.log).toHaveLength(6000)
  expect(copy.log.findLastIndex((line) => line.startsWith('delete'))).toBe(2999)
})

test('history compacted while away: listed again, and what is gone is reported once the list is complete', async () => {
  await putMany(50, () => 'old')
  const copy = new Copy()
  const first = await copy.follow()
  first.close(new Error('away'))
  await etcd.client.delete().key(`${PREFIX}key-3`)
  await putMany(5, () => 'new')
  await etcd.client.delete().key(`${PREFIX}key-4`)
  const { header } = await etcd.client.kv.range({ key: Buffer.from('x') })
  await etcd.client.kv.compact({ revision: header.revision, physical: true })
  copy.log.length = 0
  await copy.follow()
  await equalsTruth(copy)
  expect(copy.log.sort()).toEqual(['delete key-4', 'put key-0', 'put key-1', 'put key-2', 'put key-3'])
})

test('kill -9 and restart: nothing is lost, nothing is reported twice', async () => {
  await putMany(10, () => 'old')
  const copy = new Copy()
  const stop = new AbortController()
  const running = copy.followOn(stop.signal)
  await equalsTruth(copy)
  await etcd.kill()
  await etcd.launch()
  await etcd.put(`${PREFIX}key-1`, 'new')
  await etcd.client.delete().key(`${PREFIX}key-2`)
  await equalsTruth(copy)
  expect(copy.log).toHaveLength(12)
  stop.abort()
  proxy.cut()
  await running
})

test('an etcd that lost its data is noticed though it calls itself by the same id', async () => {
  // Two revisions: after the one put below, a store that is as far along could not be told from the lost one.
  await putMany(10, () => 'older')
  await putMany(10, () => 'old')
  const copy = new Copy()
  const stop = new AbortController()
  const running = copy.followOn(stop.signal)
  await equalsTruth(copy)
  await etcd.kill()
  await etcd.wipe()
  await etcd.launch()
  await etcd.put(`${PREFIX}key-1`, 'old')
  await equalsTruth(copy)
  expect(copy.rows.size).toBe(1)
  stop.abort()
  proxy.cut()
  await running
})

test('a connection that is accepted and never answered is given up, and the next one works', async () => {
  const copy = new Copy()
  const stop = new AbortController()
  const running = copy.followOn(stop.signal)
  await putMany(3, () => 'one')
  await equalsTruth(copy)
  proxy.mute(true)
  proxy.cut()
  await putMany(3, () => 'two')
  const attempts = sessions.length
  await eventually(() => sessions.length >= attempts + 2, {
    timeoutMs: 30_000,
    what: 'the attempt after the stuck one',
  })
  proxy.mute(false)
  await equalsTruth(copy)
  stop.abort()
  proxy.cut()
  await running
}, 60_000)

test('0 differences after a storm of cuts, restarts and compactions', async () => {
  const copy = new Copy()
  const stop = new AbortController()
  const running = copy.followOn(stop.signal)
  let seed = 42
  const random = (below: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below
  for (let round = 0; round < 30; round++) {
    await putMany(
      200,
      (i) => `${round} ${i}`,
      // Half of the names are new, half were used in the round before.
      (i) => `key-${(round * 37 + i) % 800}-${i % 2 === 0 ? round : i}`,
    )
    for (let i = 0; i < 10; i++) await etcd.client.delete().prefix(`${PREFIX}key-${random(800)}-`)
    if (round % 3 === 0) proxy.cut()
    if (round % 5 === 1) proxy.cutAfter(random(40_000))
    if (round % 7 === 2) {
      const { header } = await etcd.client.kv.range({ key: Buffer.from('x') })
      await etcd.client.kv.compact({ revision: header.revision })
    }
    if (round % 15 === 4) {
      await etcd.kill()
      await etcd.launch()
    }
  }
  await equalsTruth(copy)
  expect(copy.rows.size).toBeGreaterThan(1000)
  stop.abort()
  proxy.cut()
  await running
}, 60_000)

test('a backlog that comes at once leaves turns for others, and a cut in it loses and repeats nothing', async () => {
  const copy = new Copy()
  const first = await copy.follow()
  first.close(new Error('away'))
  await putMany(3000, (i) => `${i} `.repeat(100))
  let seen = 0
  let mostInATurn = 0
  let watching = true
  const look = (): void => {
    mostInATurn = Math.max(mostInATurn, copy.log.length - seen)
    seen = copy.log.length
    if (watching) setImmediate(look)
  }
  look()
  const session = await copy.follow()
  await eventually(() => copy.log.length > 300, { what: 'some of it' })
  session.close(new Error('cut'))
  await copy.follow()
  await equalsTruth(copy)
  watching = false
  expect(mostInATurn).toBeLessThan(400)
  expect(copy.log.length).toBeLessThanOrEqual(3000 + 100)
  expect(new Set(copy.log).size).toBe(3000)
})
