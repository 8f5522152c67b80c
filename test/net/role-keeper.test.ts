import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createEtcdClient } from '../../agent/lib/etcd.ts'
import { silentLog } from '../../agent/lib/log.ts'
import { RoleKeeper } from '../../agent/targets/etcd/role-keeper.ts'
import { eventually } from '../eventually.ts'
import { SteppedClock } from '../stepped-clock.ts'
import type { EtcdProcess } from './etcd.ts'
import { TestPki } from './tls-fixture.ts'

const KEY = 'cilium/state/nodes/v1/east/east/worker'
const ROUND_MS = 30_000

let pki: TestPki
let etcd: EtcdProcess
let clock: SteppedClock
let keeper: RoleKeeper
let usersFile: string
let warnings: string[]

beforeEach(async () => {
  pki = await TestPki.create()
  etcd = await pki.startEtcd('east')
  await etcd.put(KEY, '{}')
  clock = new SteppedClock()
  usersFile = join(pki.directory, 'users.yaml')
  warnings = []
  const log = { ...silentLog, warn: (_: unknown, message: string) => void warnings.push(message) } as typeof silentLog
  const endpoint = { endpoints: [etcd.url], ...pki.files('admin-east') }
  keeper = new RoleKeeper({ endpoint, cluster: 'east', usersFile, clock, random: () => 0, log })
})

afterEach(async () => {
  await keeper.stop()
  await etcd[Symbol.asyncDispose]()
  await pki[Symbol.asyncDispose]()
})

/** The next look at etcd and at the file, to its end. */
async function round(): Promise<void> {
  clock.step(ROUND_MS)
  await eventually(() => clock.timers > 0, { what: 'the end of the round' })
}

async function mayRead(peer: string): Promise<boolean> {
  const client = createEtcdClient({ endpoints: [etcd.url], ...(await pki.issue({ kind: 'remote', peer })) })
  try {
    return await client.get(KEY).exists()
  } catch (error) {
    expect((error as Error).message).toMatch(/permission denied|user name not found/)
    return false
  } finally {
    client.close()
  }
}

test('the file of users is read again: who is added may read, who is left out no longer; a broken one changes nothing', async () => {
  await writeFile(usersFile, 'users:\n- { name: remote-west, role: remote }\n')
  await keeper.start()
  expect([await mayRead('west'), await mayRead('south')]).toEqual([true, false])

  await writeFile(usersFile, 'users:\n- { name: remote-south, role: remote }\n')
  expect([await mayRead('west'), await mayRead('south')]).toEqual([true, false])
  await round()
  expect([await mayRead('west'), await mayRead('south')]).toEqual([false, true])
  expect(warnings).toEqual([])

  await writeFile(usersFile, 'users:\n- { name: remote-west, role: root }\n')
  await round()
  expect(warnings).toEqual([
    `users of etcd stay as they are: ${usersFile}: remote-west has the role "root" instead of remote`,
  ])
  expect([await mayRead('west'), await mayRead('south')]).toEqual([false, true])
})

test('without a file that can be read at the start, users that are there keep their rights', async () => {
  await writeFile(usersFile, 'users:\n- { name: remote-west, role: remote }\n')
  await keeper.start()
  await keeper.stop()
  await writeFile(usersFile, 'users: [')
  const endpoint = { endpoints: [etcd.url], ...pki.files('admin-east') }
  keeper = new RoleKeeper({ endpoint, cluster: 'east', usersFile, clock, random: () => 0, log: silentLog })
  await keeper.start()
  expect(await mayRead('west')).toBe(true)
})
