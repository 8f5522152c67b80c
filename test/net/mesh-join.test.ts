import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Outcome } from '../unit/cli/harness.ts'
import { freePort } from './etcd.ts'
import { Site } from './join-fixture.ts'

let west: Site
let east: Site

beforeAll(async () => {
  west = await Site.create('west', 1)
  east = await Site.create('east', 2)
  await Promise.all([west.startEtcd(), east.startEtcd()])
})

afterAll(async () => {
  await west?.[Symbol.asyncDispose]()
  await east?.[Symbol.asyncDispose]()
})

afterEach(async () => {
  for (const site of [west, east]) {
    for (const name of await readdir(site.configDir))
      if (!/[.]/.test(name)) await site.run(`clustermesh disconnect ${name}`)
  }
})

const files = async (site: Site): Promise<string[]> => (await readdir(site.configDir)).sort()

test('each side exports, each side connects, sources of both become ready; disconnecting drains', async () => {
  const [fromWest, fromEast] = [await west.export(), await east.export()]
  const there = await west.run(`clustermesh connect ${fromEast.file} --trust ${fromEast.fingerprint}`)
  expect(there).toMatchObject({ code: 0, err: '✅ Connected cluster west => east!\n' })
  expect(there.out).not.toMatch(/❌|⚠️/)
  const back = await east.run(`clustermesh connect ${fromWest.file} --trust ${fromWest.fingerprint}`)
  expect(back).toMatchObject({ code: 0, err: '✅ Connected cluster east => west!\n' })

  expect(await files(west)).toEqual([
    '.weft',
    'east',
    'east.etcd-client-ca.crt',
    'east.etcd-client.crt',
    'east.etcd-client.key',
  ])
  expect((await stat(join(west.configDir, 'east.etcd-client.key'))).mode & 0o777).toBe(0o600)

  await using atWest = await west.follow()
  await using atEast = await east.follow()
  await atWest.until('east', (cluster) => cluster?.state === 'ready')
  await atEast.until('west', (cluster) => cluster?.state === 'ready')

  expect(await west.run('clustermesh disconnect east')).toMatchObject({
    code: 0,
    err: '✅ Disconnected cluster east\n',
  })
  await atWest.until('east', (cluster) => cluster === undefined)
  expect(await files(west)).toEqual(['.weft'])
  expect(await readdir(join(west.configDir, '.weft'))).toEqual(['own.join'])
})

test('a second time changes no file, and needs no --trust any more', async () => {
  const { file, fingerprint } = await east.export()
  await west.run(`clustermesh connect ${file} --trust ${fingerprint}`)
  const before = await Promise.all(
    (await files(west)).map(async (name) => (await stat(join(west.configDir, name))).ino),
  )
  const again = await west.run(`clustermesh connect ${file}`)
  expect(again).toMatchObject({ code: 0, err: '✅ Cluster west is connected to east already\n' })
  const after = await Promise.all((await files(west)).map(async (name) => (await stat(join(west.configDir, name))).ino))
  expect(after).toEqual(before)
})

async function connected(): Promise<void> {
  const { file, fingerprint } = await east.export()
  const { code, err } = await west.run(`clustermesh connect ${file} --trust ${fingerprint}`)
  if (code !== 0) throw new Error(err)
}

describe('refused, and nothing written', () => {
  const refusals: readonly [why: string, flags: string, line: RegExp][] = [
    ['the same name', '--cluster-name east', /❌ Names: both clusters are called east/],
    ['the same id', '--cluster-id 2', /❌ Cluster ids: west and east both have id 2/],
    [
      'overlapping pods',
      '--pod-cidr 10.2.128.0/17',
      /❌ Pod CIDRs: pod CIDR 10\.2\.0\.0\/16 of east overlaps pod CIDR/,
    ],
    [
      'overlapping services',
      '--service-cidr 10.0.0.0/8',
      /❌ Service CIDRs: service CIDR 10\.102\.0\.0\/16 of east overlaps/,
    ],
  ]
  test.each(refusals)('%s', async (_why, flags, line) => {
    await west.export()
    const before = await files(west)
    const { file, fingerprint } = await east.export()
    const { code, out, err } = await west.run(`clustermesh connect ${file} --trust ${fingerprint} ${flags}`)
    expect(code).toBe(1)
    expect(out).toMatch(line)
    expect(err).toMatch(/^error: cluster (west|east) was not connected to east\nhint: nothing was written/)
    expect(await files(west)).toEqual(before)
  })

  test('a CA nobody vouched for, or another one than was said', async () => {
    await west.export()
    const { file, fingerprint } = await east.export()
    const unknown = await west.run(`clustermesh connect ${file}`)
    expect(unknown).toMatchObject({ code: 1, out: '' })
    expect(unknown.err).toContain(`--trust ${fingerprint}`)
    const other = await west.run(`clustermesh connect ${file} --trust ${'0'.repeat(64)}`)
    expect(other).toMatchObject({ code: 1, out: '' })
    expect(other.err).toContain(`signed by the CA ${fingerprint}, not by`)
    expect(await files(west)).toEqual(['.weft'])
  })

  test('an endpoint where nothing listens', async () => {
    await west.export()
    const { file, fingerprint } = await east.export(`--endpoint https://127.0.0.1:${await freePort()}`)
    const some = await west.run(`clustermesh preflight ${file} --trust ${fingerprint}`)
    expect(some.out).toMatch(/⚠️ {2}Endpoints reachable: https:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED/)
    expect(some.code).toBe(0)
  })
})

test('a cluster that is not connected is not disconnected; the near name is offered', async () => {
  await connected()
  expect(await west.run('clustermesh disconnect eest')).toMatchObject({
    code: 1,
    err: `error: no cluster eest is connected in ${west.configDir}\nhint: did you mean east?\n`,
  })
})

describe('troubleshoot', () => {
  beforeEach(connected)

  /** Changes what east's file says and looks again. */
  async function after(change: (text: string) => string, more = ''): Promise<Outcome> {
    const path = join(west.configDir, 'east')
    await writeFile(path, change(await readFile(path, 'utf8')))
    return west.run(`troubleshoot clustermesh ${more}`)
  }

  test('all is well', async () => {
    const { code, out } = await west.run('troubleshoot clustermesh')
    const port = new URL(east.etcd.url).port
    const plain = out
      .replace(/[0-9a-f]{2}(:[0-9a-f]{2}){7,}/g, 'SERIAL')
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')
      .replace(/ID: [0-9a-f]+/, 'ID: HEX')
      .replace(/version: 3\.\d+\.\d+/, 'version: 3.x')
      .replace(/TLS_\w+/, 'SUITE')
      .replace(/written \d+s ago/, 'written 0s ago')
    expect(plain).toBe(`\
Found 1 cluster configurations

Cluster "east":
📄 Configuration path: ${west.configDir}/east

🔌 Endpoints:
   - https://127.0.0.1:${port}
     ✅ TCP connection successfully established to 127.0.0.1:${port}
     ✅ TLS connection successfully established to 127.0.0.1:${port}
     ℹ️  Negotiated TLS version: TLS 1.3, ciphersuite SUITE
     ℹ️  Etcd server version: 3.x

🔑 Digital certificates:
   ✅ TLS Root CA certificates:
      - Serial number:       SERIAL
        Subject:             CN=east CA
        Issuer:              CN=east CA
        Validity:
          Not before:  TIME +0000 UTC
          Not after:   TIME +0000 UTC
   ✅ TLS client certificates:
      - Serial number:       SERIAL
        Subject:             CN=remote
        Issuer:              CN=east CA
        Validity:
          Not before:  TIME +0000 UTC
          Not after:   TIME +0000 UTC
   ✅ TLS server certificate of 127.0.0.1:${port}:
      - Serial number:       SERIAL
        Subject:             CN=clustermesh-apiserver.cilium.io
        Issuer:              CN=east CA
        Names:               clustermesh-apiserver.cilium.io, *.mesh.cilium.io, clustermesh-apiserver.kube-system.svc, 127.0.0.1, ::1
        Validity:
          Not before:  TIME +0000 UTC
          Not after:   TIME +0000 UTC

⚙️ Etcd client:
   ✅ Etcd connection successfully established
   ℹ️  Etcd cluster ID: HEX

📡 Exporter:
   ✅ Cluster configuration retrieved: cluster-id=2, kvstoremesh=false, sync-canaries=true, max-connected-clusters=255
   ✅ Synchronization canaries: nodes=true, services=true, endpoints=true, identities=true
   ✅ The last heartbeat was written 0s ago
   ✅ Clocks are less than 5s apart
`)
    expect(code).toBe(0)
  })

  test('the port is closed', async () => {
    const port = await freePort()
    const { code, out } = await after((text) => text.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${port}`))
    expect(out).toContain(
      `     ❌ Cannot establish TCP connection to 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}\n        💡 nothing listens`,
    )
    expect(out).toContain('   ❌ Cannot establish etcd connection: ')
    expect(code).toBe(1)
  })

  test('the name is gone from the DNS', async () => {
    const { code, out } = await after((text) => text.replace(/127\.0\.0\.1:/, 'east.mesh.invalid:'))
    expect(out).toMatch(/❌ Cannot resolve hostname: .*east\.mesh\.invalid/)
    expect(code).toBe(1)
  })

  test('the CA is another one', async () => {
    const { code, out } = await after((text) =>
      text.replace(/trusted-ca-file: .*/, `trusted-ca-file: ${west.pki}/ca.crt`),
    )
    expect(out).toMatch(/❌ Cannot establish TLS connection to .*\n +💡 trust the CA that signed/)
    expect(out).toMatch(/❌ TLS server certificate of 127\.0\.0\.1:\d+:\n.*\n +Subject: +CN=clustermesh-apiserver/)
    expect(out).toContain('   ⚠️  Cannot verify the client certificate with the configured root CAs\n')
    expect(code).toBe(1)
  })

  test('no client certificate', async () => {
    const { code, out } = await after((text) => text.replace(/(key|cert)-file: .*\n/g, ''))
    expect(out).toMatch(/❌ TLS client authentication failed at /)
    expect(code).toBe(1)
  })

  test('the user may not read', async () => {
    const { client } = east.etcd
    await client.auth.userAdd({ name: 'root', password: '', options: { no_password: true } })
    await client.auth.userGrantRole({ user: 'root', role: 'root' })
    await client.auth.userAdd({ name: `admin-${east.name}`, password: '', options: { no_password: true } })
    await client.auth.userGrantRole({ user: `admin-${east.name}`, role: 'root' })
    await client.auth.userAdd({ name: 'remote', password: '', options: { no_password: true } })
    await client.auth.authEnable()
    try {
      const { code, out } = await west.run('troubleshoot clustermesh east -o json')
      const [report] = JSON.parse(out) as { etcd: { verdict: string; text: string }[] }[]
      expect(report?.etcd[0]?.verdict).toBe('error')
      expect(report?.etcd[0]?.text).toMatch(/^Failed to retrieve key.*permission denied/)
      expect(code).toBe(1)
    } finally {
      await client.auth.authDisable()
    }
  })

  test('names that are none, not connected, or our own', async () => {
    const { code, out } = await west.run('troubleshoot clustermesh nowhere Bad')
    expect(out).toBe(`\
Found 0 cluster configurations

Cluster "Bad":
❌ Invalid cluster name: "Bad"
   💡 a cluster is named by 1-32 of a-z, 0-9 and -: rename or remove the file

Cluster "nowhere":
❌ Configuration not found
   💡 connect it with "weft clustermesh connect", or correct the name
`)
    expect(code).toBe(1)
  })
})
