import type { Etcd3 } from 'etcd3'
import type { ChildProcess } from 'node:child_process'
import { execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CertificateRequest } from '../../agent/pki/kinds.ts'
import { createEtcdClient } from '../../agent/lib/etcd.ts'
import { createCa, issueCertificate, signerOf } from '../../agent/pki/issue.ts'
import { profileOf } from '../../agent/pki/kinds.ts'
import { writePair } from '../../agent/pki/store.ts'
import { applyRoles } from '../../agent/targets/etcd/roles.ts'
import { canaryKey, clusterConfigKey, HEARTBEAT_KEY, WIRE_RESOURCES } from '../../agent/types/wire/keys.ts'
import { eventually } from '../eventually.ts'
import { EtcdProcess, freePort } from '../net/etcd.ts'
import { announceEast, EAST_SERVICE, exportEast, West } from '../net/mesh-fixture.ts'
import { end } from '../processes.ts'
import { Kvstoremesh, Meshwatch, peerDirectory } from './cilium.ts'
import { Owned } from './owned.ts'
import { PEERS } from './setup.ts'

const ETCD = '/usr/bin/etcd'

/** An etcd whose users and roles Cilium's `etcdinit` made, behind TLS; certificates are weft's, under Cilium's names. */
class CiliumEtcd {
  readonly url: string
  readonly directory: string
  readonly #child: ChildProcess

  private constructor(directory: string, port: number, peerPort: number) {
    this.url = `https://127.0.0.1:${port}`
    this.directory = directory
    const peer = `http://127.0.0.1:${peerPort}`
    const flags = {
      name: 'clustermesh-apiserver',
      'data-dir': join(directory, 'data'),
      'listen-client-urls': this.url,
      'advertise-client-urls': this.url,
      'listen-peer-urls': peer,
      'trusted-ca-file': join(directory, 'ca.crt'),
      'cert-file': join(directory, 'server.crt'),
      'key-file': join(directory, 'server.key'),
      'log-level': 'error',
      logger: 'zap',
    }
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
    this.#child = spawn(ETCD, ['--client-cert-auth', ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
    process.once('exit', this.#onExit)
  }

  static async start(programs: string): Promise<CiliumEtcd> {
    const directory = await mkdtemp(join(tmpdir(), `weft-etcdinit-${process.pid}-`))
    await issueAll(directory)
    await mkdir(join(directory, 'data'), { mode: 0o700 })
    const flags = {
      'cluster-name': 'east',
      'etcd-cluster-name': 'clustermesh-apiserver',
      'etcd-initial-cluster-token': `weft-${process.pid}`,
      'etcd-data-dir': join(directory, 'data'),
    }
    // It runs an etcd of its own on 2379 and 2380 of loopback, whoever else may be there: it gets a loopback for itself.
    const init = [
      join(programs, 'clustermesh-apiserver'),
      'etcdinit',
      ...Object.entries(flags).map((f) => `--${f.join('=')}`),
    ]
    await promisify(execFile)('unshare', ['--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', ...init])
    const etcd = new CiliumEtcd(directory, await freePort(), await freePort())
    try {
      await eventually(() => etcd.as('admin-east', (client) => client.maintenance.status()), { timeoutMs: 20_000 })
    } catch (error) {
      await etcd[Symbol.asyncDispose]()
      throw error
    }
    return etcd
  }

  /** Certificate and key by the name of their file. */
  files(name: string): { caFile: string; certFile: string; keyFile: string } {
    const [ca, certificate, key] = ['ca.crt', `${name}.crt`, `${name}.key`].map((file) => join(this.directory, file))
    return { caFile: ca!, certFile: certificate!, keyFile: key! }
  }

  /** One errand under the name of a user. */
  async as<T>(user: string, errand: (client: Etcd3) => Promise<T>): Promise<T> {
    const client = createEtcdClient({ endpoints: [this.url], ...this.files(user) })
    try {
      return await errand(client)
    } finally {
      client.close()
    }
  }

  /** What an agent's configuration directory says about this cluster. */
  clusterFile(user: string): string {
    const { caFile, certFile, keyFile } = this.files(user)
    return `endpoints:\n- ${this.url}\ntrusted-ca-file: ${caFile}\ncert-file: ${certFile}\nkey-file: ${keyFile}\n`
  }

  readonly #onExit = (): void => {
    this.#child.kill('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#onExit)
    await end(this.#child)
    await rm(this.directory, { recursive: true, force: true })
  }
}

async function issueAll(directory: string): Promise<void> {
  const now = new Date()
  const ca = await createCa({ now })
  await writeFile(join(directory, 'ca.crt'), ca.certificate)
  const requests: CertificateRequest[] = [
    { kind: 'server' },
    { kind: 'remote' },
    { kind: 'admin', cluster: 'east' },
    { kind: 'local', cluster: 'east' },
  ]
  for (const request of requests) {
    const profile = profileOf(request)
    await writePair(directory, profile.file, await issueCertificate({ ca: signerOf(ca), profile, now }))
  }
}

describe.each(PEERS)("an etcd with the users and roles of %s's etcdinit", (peer) => {
  let owned: Owned
  let programs: string
  let etcd: CiliumEtcd

  beforeEach(async (context) => {
    owned = new Owned()
    programs = peerDirectory(peer, context)
    etcd = owned.use(await CiliumEtcd.start(programs))
    await etcd.as('admin-east', async (client) => {
      await client.put(HEARTBEAT_KEY).value('now')
      await client.put(clusterConfigKey('east')).value('{"id":2,"capabilities":{"syncedCanaries":true}}')
      await client.put('cilium/state/services/v1/east/default/webpod').value(EAST_SERVICE)
      for (const resource of WIRE_RESOURCES) await client.put(canaryKey(resource, 'east')).value('now')
    })
  })

  afterEach(() => owned.end())

  test('weft reads all it needs as the user remote, and is a user who may do nothing else', async () => {
    const west = owned.use(await West.create())
    await west.configure('east', etcd.clusterFile('remote'))
    await west.start()
    await west.ready('east')
    expect(west.tables.backends.get('east/default/webpod')?.endpoints).toHaveLength(2)
    await etcd.as('admin-east', async (client) => {
      await client.delete().key('cilium/state/services/v1/east/default/webpod')
    })
    await west.until('it follows', () => west.tables.backends.get('east/default/webpod') === undefined)

    await etcd.as('remote', async (client) => {
      await expect(client.put('cilium/state/services/v1/east/default/x').value('x')).rejects.toThrow(
        'permission denied',
      )
      await expect(client.get('cilium/cluster-config/west')).rejects.toThrow('permission denied')
      await expect(client.getAll().prefix('cilium/cache/')).rejects.toThrow('permission denied')
    })
  })

  test("is set up as weft's own roles are: nothing is left to change", async () => {
    const changes = await etcd.as('admin-east', (client) => applyRoles(client, { cluster: 'east', remoteUsers: [] }))
    // etcd grants the role root whether it is listed or not.
    expect(changes.filter((change) => change !== 'role root')).toEqual([])
  })

  test("Cilium's agent reads it as remote, with certificates that weft made", async () => {
    const watch = owned.use(await Meshwatch.start(programs, { east: etcd.clusterFile('remote') }))
    await watch.ready('east')
    expect([...watch.services.keys()]).toEqual(['default/webpod'])
    expect(watch.complaints).toEqual([])
  })

  test("Cilium's kvstoremesh copies as remote from an etcd whose users and roles weft made", async () => {
    const tls = { ...etcd.files('server'), client: etcd.files('admin-east') }
    const own = owned.use(await EtcdProcess.start('127.0.0.1', tls))
    await applyRoles(own.client, { cluster: 'east', remoteUsers: [] })
    await announceEast(own)
    await exportEast(own)
    await own.put(canaryKey('serviceexports', 'east'), 'now')
    const local = owned.use(await EtcdProcess.start())
    const file = etcd.clusterFile('remote').replace(etcd.url, own.url)
    owned.use(await Kvstoremesh.start(programs, local.url, { east: file }))
    await eventually(async () => (await local.dump('cilium/synced/east/')).size === 5, { timeoutMs: 20_000 })
    expect((await local.dump('cilium/cache/')).get('cilium/cache/services/v1/east/default/webpod')).toBe(EAST_SERVICE)
  })
})
