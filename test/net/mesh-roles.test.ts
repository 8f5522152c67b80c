import type { Etcd3 } from 'etcd3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createEtcdClient } from '../../agent/lib/etcd.ts'
import { applyRoles } from '../../agent/targets/etcd/roles.ts'
import { announceEast, exportEast } from './mesh-fixture.ts'
import type { EtcdProcess } from './etcd.ts'
import type { ClientFiles } from './tls-fixture.ts'
import { TestPki } from './tls-fixture.ts'

const SPEC = { cluster: 'east', remoteUsers: ['remote-west'] }
const clients: Etcd3[] = []
let pki: TestPki
let etcd: EtcdProcess
let first: readonly string[]

function clientOf(files: ClientFiles): Etcd3 {
  const client = createEtcdClient({ endpoints: [etcd.url], ...files })
  clients.push(client)
  return client
}

beforeAll(async () => {
  pki = await TestPki.create()
  etcd = await pki.startEtcd('east')
  await announceEast(etcd)
  await exportEast(etcd)
  await etcd.put('cilium/cluster-config/north', '{"id":3}')
  await etcd.put('cilium/cache/services/v1/north/default/db', '{}')
  await etcd.put('cilium/synced/north/cilium/cache/services/v1', 'now')
  await etcd.put('secret', 'x')
  first = await applyRoles(etcd.client, SPEC)
})

afterAll(async () => {
  for (const client of clients) client.close()
  await etcd[Symbol.asyncDispose]()
  await pki[Symbol.asyncDispose]()
})

/** What each attempt came to: the number of keys, or `denied`. */
async function attempts(client: Etcd3): Promise<Record<string, number | 'denied'>> {
  const outcome = async (call: Promise<number>): Promise<number | 'denied'> => {
    try {
      return await call
    } catch (error) {
      expect((error as Error).message).toMatch(/permission denied|user name not found/)
      return 'denied'
    }
  }
  const under = (prefix: string): Promise<number | 'denied'> =>
    outcome(
      client
        .getAll()
        .prefix(prefix)
        .keys()
        .then((keys) => keys.length),
    )
  const exact = (key: string): Promise<number | 'denied'> => outcome(client.get(key).exists().then(Number))
  const done = (call: Promise<unknown>): Promise<number | 'denied'> => outcome(call.then(() => 1))
  return {
    state: await under('cilium/state/'),
    heartbeat: await exact('cilium/.heartbeat'),
    'own config': await exact('cilium/cluster-config/east'),
    'own canaries': await under('cilium/synced/east/'),
    'other config': await exact('cilium/cluster-config/north'),
    'all configs': await under('cilium/cluster-config/'),
    'other canaries': await under('cilium/synced/north/'),
    'all canaries': await under('cilium/synced/'),
    cache: await under('cilium/cache/'),
    'beside state': await exact('cilium/statex'),
    secret: await exact('secret'),
    everything: await done(client.getAll().keys()),
    write: await done(client.put('cilium/state/nodes/v1/east/evil').value('x').exec()),
    overwrite: await done(client.put('cilium/.heartbeat').value('x').exec()),
    delete: await done(client.delete().key('cilium/state/identities/v1/id/137204').exec()),
    lock: await done(client.put('cilium/.initlock/1').value('x').exec()),
    users: await done(client.auth.userList()),
    disable: await done(client.auth.authDisable()),
  }
}

const NOTHING = {
  'beside state': 'denied',
  secret: 'denied',
  everything: 'denied',
  write: 'denied',
  overwrite: 'denied',
  delete: 'denied',
  lock: 'denied',
  users: 'denied',
  disable: 'denied',
}
const REMOTE = {
  ...NOTHING,
  state: 4,
  heartbeat: 1,
  'own config': 1,
  'own canaries': 4,
  'other config': 'denied',
  'all configs': 'denied',
  'other canaries': 'denied',
  'all canaries': 'denied',
  cache: 'denied',
}

describe('an etcd with users and roles', () => {
  test('a remote cluster reads what is exported to it, and nothing else', async () => {
    expect(await attempts(clientOf(await pki.issue({ kind: 'remote' })))).toEqual(REMOTE)
  })

  test('so does one with a user of its own', async () => {
    expect(await attempts(clientOf(await pki.issue({ kind: 'remote', peer: 'west' })))).toEqual(REMOTE)
  })

  test('the own agents read what was mirrored', async () => {
    expect(await attempts(clientOf(await pki.issue({ kind: 'local', cluster: 'east' })))).toEqual({
      ...NOTHING,
      state: 'denied',
      heartbeat: 1,
      'own config': 1,
      'own canaries': 4,
      'other config': 1,
      'all configs': 2,
      'other canaries': 1,
      'all canaries': 5,
      cache: 1,
    })
  })

  test('a certificate of the CA without a user may do nothing', async () => {
    const stranger = clientOf(await pki.issue({ kind: 'remote', peer: 'stranger' }))
    expect(new Set(Object.values(await attempts(stranger)))).toEqual(new Set(['denied']))
  })

  test('a second time changes nothing; a list without a user takes it away, an unknown list takes nobody', async () => {
    expect(first.length).toBeGreaterThan(10)
    expect(await applyRoles(etcd.client, SPEC)).toEqual([])
    expect(await applyRoles(etcd.client, { cluster: 'east', remoteUsers: undefined })).toEqual([])
    expect(await applyRoles(etcd.client, { cluster: 'east', remoteUsers: [] })).toEqual(['no user remote-west'])
    const west = clientOf(pki.files('remote-west'))
    await expect(west.get('cilium/.heartbeat').string()).rejects.toThrow(/permission denied/)
    expect(await applyRoles(etcd.client, SPEC)).toEqual(['user remote-west', 'user remote-west is remote'])
    expect(await west.get('cilium/.heartbeat').exists()).toBe(true)
  })

  test('what somebody added by hand is taken back', async () => {
    const { auth } = etcd.client
    await auth.roleGrantPermission({
      name: 'remote',
      perm: { permType: 'Readwrite', key: Buffer.from('secret'), range_end: Buffer.alloc(0) },
    })
    await auth.userGrantRole({ user: 'remote', role: 'local' })
    const remote = clientOf(pki.files('remote'))
    expect(await remote.get('secret').string()).toBe('x')
    expect(await applyRoles(etcd.client, SPEC)).toEqual(['role remote without secret', 'user remote no local'])
    await expect(remote.get('secret').string()).rejects.toThrow(/permission denied/)
  })
})
