import { copyFile, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseCertificates } from '../../agent/pki/certificate.ts'
import { bundle, readCas, trust } from '../../agent/pki/store.ts'
import type { Cluster } from '../../agent/types/cluster.ts'
import type { EtcdProcess } from './etcd.ts'
import { announceEast, EAST_NODE, exportEast, West } from './mesh-fixture.ts'
import type { ClientFiles } from './tls-fixture.ts'
import { clusterFile, TestPki } from './tls-fixture.ts'

const DAY_MS = 86_400_000
const FAST = { credentials: { lookMs: 50, rotateWithinMs: 100 } }

let pki: TestPki
let etcd: EtcdProcess
let west: West

beforeEach(async () => {
  pki = await TestPki.create('east CA', new Date(Date.now() - 30 * DAY_MS))
  west = await West.create()
})

afterEach(async () => {
  await west[Symbol.asyncDispose]()
  await etcd[Symbol.asyncDispose]()
  await pki[Symbol.asyncDispose]()
})

async function startEast(): Promise<void> {
  etcd = await pki.startEtcd('east')
  await announceEast(etcd)
  await exportEast(etcd)
}

const east = (): Cluster | undefined => west.tables.clusters.get('east')
const problems = (): string[] =>
  [...west.tables.problems.values()].flatMap((set) => set.problems.map(({ code }) => code))

/** States the cluster goes through from now on. */
function states(): string[] {
  const seen: string[] = []
  west.writer.subscribe(({ table }) => {
    const state = east()?.state ?? 'none'
    if (table === 'clusters' && seen.at(-1) !== state) seen.push(state)
  })
  return seen
}

describe('certificates that do not do', () => {
  beforeEach(startEast)

  async function refusal(url: string, files: Partial<ClientFiles>): Promise<string> {
    await west.configure('east', clusterFile(url, files))
    await west.start(FAST)
    await west.until('an attempt has failed', () => (east()?.failures ?? 0) > 0)
    expect(east()?.state).not.toBe('ready')
    return east()?.message ?? ''
  }

  test('a server of another CA', async () => {
    await using other = await TestPki.create('other CA')
    const files = await pki.issue({ kind: 'remote' })
    expect(await refusal(etcd.url, { ...files, caFile: other.caFile })).toBe(
      'its certificate is not signed by any CA in trusted-ca-file',
    )
  })

  test('a server under another name', async () => {
    const files = await pki.issue({ kind: 'remote' })
    expect(await refusal(etcd.url.replace('127.0.0.1', 'localhost'), files)).toMatch(
      /^its certificate is not for localhost, but for DNS:clustermesh-apiserver\.cilium\.io, /,
    )
  })

  test('no client certificate', async () => {
    expect(await refusal(etcd.url, { caFile: pki.caFile })).toMatch(/^it refuses our client certificate \(/)
  })

  test('a client certificate of another CA', async () => {
    await using other = await TestPki.create('other CA')
    const files = await other.issue({ kind: 'remote' })
    expect(await refusal(etcd.url, { ...files, caFile: pki.caFile })).toMatch(/^it refuses our client certificate \(/)
  })

  test('a client certificate that has expired: the problem says so before anybody tries', async () => {
    const from = new Date(Date.now() - 10 * DAY_MS)
    const files = await pki.issue({ kind: 'remote' }, { from, lifetimeMs: 5 * DAY_MS })
    expect(await refusal(etcd.url, files)).toMatch(/^it refuses our client certificate \(/)
    await west.until('the problem is known', () => problems().includes('mesh-certificate-expired'))
    expect(east()?.certificates?.[0]).toMatchObject({ role: 'client', subject: 'CN=remote', state: 'expired' })
    await pki.issue({ kind: 'remote' })
    await west.ready('east')
    expect(problems()).toEqual([])
  })

  test('files that are not there, or not a pair', async () => {
    const { caFile, certFile } = await pki.issue({ kind: 'remote' })
    const { keyFile } = await pki.issue({ kind: 'local', cluster: 'east' })
    await refusal(etcd.url, { caFile, certFile, keyFile })
    await west.until('the problem is known', () => problems().includes('mesh-certificate-unusable'))
    await west.configure('east', clusterFile(etcd.url, { caFile: '/nonexistent/ca.crt' }))
    await west.until('the file is named', () => east()?.message.includes('/nonexistent/ca.crt') === true)
  })
})

describe('certificates that change', () => {
  test('a renewed one is taken over by one reconnect, and no change of a record is missed', async () => {
    await startEast()
    // On a lease, as exporters write it: by that the store is known again, and watches go on where they were.
    const { ID: lease } = await etcd.client.leaseClient.leaseGrant({ TTL: 900 })
    const key = Buffer.from('cilium/cluster-config/east')
    const { kvs } = await etcd.client.kv.range({ key })
    await etcd.client.kv.put({ key, value: kvs[0]!.value, lease })
    await west.configure('east', clusterFile(etcd.url, await pki.issue({ kind: 'remote' })))
    await west.start(FAST)
    await west.ready('east')
    const seen = states()
    const addresses: string[] = []
    west.writer.subscribe(({ table }) => {
      const address = JSON.stringify(west.tables.nodes.get('east/east-worker')?.addresses[0])
      if (table === 'nodes' && addresses.at(-1) !== address) addresses.push(address)
    })
    const before = east()?.certificates?.[0]?.notAfter
    let writes = 0
    let done = false
    const writer = (async () => {
      for (; !done || writes < 50; writes++) {
        const node = EAST_NODE.replace('172.18.0.3', `172.18.${1 + (writes >> 8)}.${writes & 255}`)
        await etcd.put('cilium/state/nodes/v1/east/east-worker', node)
      }
    })()
    await pki.issue({ kind: 'remote' }, { lifetimeMs: 700 * DAY_MS })
    await west.until('it was taken over', () => seen.includes('syncing') && east()?.state === 'ready')
    done = true
    await writer
    await west.until('all writes arrived', () => addresses.length >= writes)
    expect(addresses).toHaveLength(writes)
    expect(seen).toEqual(['ready', 'disconnected', 'connecting', 'syncing', 'ready'])
    expect(east()?.failures).toBe(0)
    expect(east()?.certificates?.[0]?.notAfter).not.toEqual(before)
    expect(problems()).toEqual([])
  })

  test('files that are touched, or written again as they were, are no change', async () => {
    await startEast()
    const files = await pki.issue({ kind: 'remote' })
    await west.configure('east', clusterFile(etcd.url, files))
    await west.start(FAST)
    await west.ready('east')
    const seen = states()
    for (const path of Object.values(files) as string[]) {
      await writeFile(path, await readFile(path))
      await utimes(path, new Date(), new Date())
    }
    // A change that counts comes after those that do not: had they been taken for one, there would be two reconnects.
    await pki.issue({ kind: 'remote' })
    await west.until(
      'the change that counts was taken over',
      () => seen.includes('syncing') && east()?.state === 'ready',
    )
    expect(seen.filter((state) => state === 'disconnected')).toHaveLength(1)
  })

  test('a connection that works is not given up for certificates that do not', async () => {
    await startEast()
    await using other = await TestPki.create('other CA')
    const files = await pki.issue({ kind: 'remote' })
    const bad = await other.issue({ kind: 'remote' })
    await west.configure('east', clusterFile(etcd.url, files))
    await west.start(FAST)
    await west.ready('east')
    const seen = states()
    await copyFile(bad.keyFile, files.keyFile)
    await copyFile(bad.certFile, files.certFile)
    await west.until('it was tried', () => problems().includes('mesh-certificate-refused'))
    await etcd.put('cilium/state/nodes/v1/east/other', EAST_NODE.replace('east-worker', 'other'))
    await west.until('the connection still works', () => west.tables.nodes.get('east/other') !== undefined)
    expect(seen.filter((state) => state !== 'ready')).toEqual([])
    await pki.issue({ kind: 'remote' })
    await west.until('good ones end the problem', () => problems().length === 0 && seen.includes('syncing'))
    await west.ready('east')
    expect(east()?.failures).toBe(0)
  })

  test('one CA replaces another while the connection stands: trust both, issue anew, forget the old', async () => {
    await using next = await TestPki.create('next CA')
    const [nextCa] = await readCas(next.directory)
    await trust(pki.directory, [nextCa!]) // etcd reads its CAs at the start only, so it knows both from there
    await startEast()
    const files = { ...(await pki.issue({ kind: 'remote' })), caFile: join(west.directory, '.trusted.crt') }
    const [oldCa] = parseCertificates(await readFile(pki.caFile, 'utf8'), 'ca')
    await writeFile(files.caFile, oldCa.pem)
    await west.configure('east', clusterFile(etcd.url, files))
    await west.start(FAST)
    await west.ready('east')
    const seen = states()
    const takenOver = async (step: string): Promise<void> => {
      await west.until(step, () => seen.includes('syncing') && east()?.state === 'ready')
      seen.length = 0
      expect([step, east()?.failures, problems()]).toEqual([step, 0, []])
    }
    await writeFile(files.caFile, bundle([oldCa, nextCa!]))
    await takenOver('both are trusted')
    const ours = east()?.certificates?.filter(({ role }) => role !== 'server')
    expect(ours?.map(({ subject }) => subject)).toEqual(['CN=remote', 'CN=east CA', 'CN=next CA'])
    const server = await next.issue({ kind: 'server' }, { lifetimeMs: 100 * DAY_MS })
    const client = await next.issue({ kind: 'remote' })
    await copyFile(server.keyFile, pki.files('server').keyFile)
    await copyFile(server.certFile, pki.files('server').certFile)
    await copyFile(client.keyFile, files.keyFile)
    await copyFile(client.certFile, files.certFile)
    await takenOver('certificates of the next CA are in use')
    const [shown] = parseCertificates(await readFile(server.certFile, 'utf8'), 'server')
    await west.until("the server's new one is seen", () =>
      (east()?.certificates ?? []).some((each) => each.role === 'server' && +each.notAfter === +shown.notAfter),
    )
    await writeFile(files.caFile, nextCa!.pem)
    await takenOver('the old CA is forgotten')
  })

  test('one that nobody renews is a problem while there is time', async () => {
    await startEast()
    const from = new Date(Date.now() - 9 * DAY_MS)
    const files = await pki.issue({ kind: 'remote' }, { from, lifetimeMs: 10 * DAY_MS })
    await west.configure('east', clusterFile(etcd.url, files))
    await west.start(FAST)
    await west.ready('east')
    await west.until('the problem is known', () => problems().includes('mesh-certificate-expires-soon'))
    expect(east()?.certificates?.[0]).toMatchObject({ state: 'expires-soon', verdict: 'expires in 23h' })
    await west.disconnect('east')
    await west.until('the cluster is gone, and its problems', () => east() === undefined && problems().length === 0)
  })
})
