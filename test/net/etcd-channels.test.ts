import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../agent/lib/clock.ts'
import { EtcdChannels } from '../../agent/lib/etcd-channel.ts'
import { EtcdSession } from '../../agent/lib/etcd-session.ts'
import { eventually } from '../eventually.ts'
import { EtcdProcess } from './etcd.ts'
import { connectionsTo } from './kvstoremesh-fixture.ts'
import { TcpProxy } from './tcp-proxy.ts'

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

/** Has asked and watched, so that it has all the connections it needs. */
async function open(channels?: EtcdChannels): Promise<EtcdSession> {
  const endpoint = { endpoints: [proxy.url] }
  const session = new EtcdSession({ endpoint, channels, clock: systemClock, pingMs: 500, onAlive: () => undefined })
  sessions.push(session)
  const handler = { events: () => undefined, progress: () => undefined, compacted: () => undefined }
  await session.watch({ key: 'a', prefix: true, from: (await session.get('a')).revision + 1n }, handler)
  return session
}

test('a session has one connection, and sessions of one owner share it until one of them leaves', async () => {
  const idle = connectionsTo(etcd)
  const count = (): number => connectionsTo(etcd) - idle
  await open()
  expect(count()).toBe(1)
  const channels = new EtcdChannels()
  const [first, second] = [await open(channels), await open(channels)]
  expect(count()).toBe(2)

  // It may have left because nothing came back: whoever is new goes another way, whoever is there stays.
  first.close(new Error('left'))
  const third = await open(channels)
  expect(count()).toBe(3)
  await second.get('a')
  second.close(new Error('left'))
  await eventually(() => count() === 2)
  await third.get('a')
  third.close(new Error('left'))
  await eventually(() => count() === 1)
})

test('a connection that hangs is not given to the next session', async () => {
  const channels = new EtcdChannels()
  const first = await open(channels)
  proxy.mute(true)
  await expect(first.get('a')).rejects.toThrow()
  first.close(new Error('silent'))
  proxy.cut()
  proxy.mute(false)
  const next = await open(channels)
  expect(await next.get('a')).toMatchObject({ kv: undefined })
})
