import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../agent/lib/clock.ts'
import { silentLog } from '../../agent/lib/log.ts'
import { createCa, issueCertificate } from '../../agent/pki/issue.ts'
import type { CertificateRequest } from '../../agent/pki/kinds.ts'
import { profileOf } from '../../agent/pki/kinds.ts'
import { readSigner, writeNewCa, writePair } from '../../agent/pki/store.ts'
import { startMeshSource } from '../../agent/sources/mesh/index.ts'
import { SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import type { Cluster } from '../../agent/types/cluster.ts'
import type { Outcome } from '../unit/cli/harness.ts'
import { weft } from '../unit/cli/harness.ts'
import { EtcdProcess } from './etcd.ts'
import { announce } from './mesh-fixture.ts'

/** A cluster as an operator has it: a CA, an etcd that serves TLS, a directory of remote clusters. */
export class Site {
  readonly name: string
  readonly id: number
  readonly root: string
  readonly pki: string
  readonly configDir: string
  #etcd: EtcdProcess | undefined

  private constructor(name: string, id: number, root: string) {
    this.name = name
    this.id = id
    this.root = root
    this.pki = join(root, 'pki')
    this.configDir = join(root, 'clusters')
  }

  static async create(name: string, id: number): Promise<Site> {
    const site = new Site(name, id, await mkdtemp(join(tmpdir(), `weft-site-${process.pid}-${name}-`)))
    await mkdir(site.configDir)
    await writeNewCa(site.pki, await createCa({ name: `${name} CA`, now: new Date() }))
    for (const kind of ['server', 'remote', 'admin'] as const) await site.issue({ kind, cluster: name })
    return site
  }

  async issue(request: CertificateRequest): Promise<void> {
    const profile = profileOf(request)
    const pair = await issueCertificate({ ca: await readSigner(this.pki), profile, now: new Date() })
    await writePair(this.pki, profile.file, pair)
  }

  async startEtcd(): Promise<EtcdProcess> {
    const file = (name: string): string => join(this.pki, name)
    const ca = file('ca.crt')
    const admin = file(`admin-${this.name}`)
    this.#etcd = await EtcdProcess.start('127.0.0.1', {
      caFile: ca,
      certFile: file('server.crt'),
      keyFile: file('server.key'),
      client: { caFile: ca, certFile: `${admin}.crt`, keyFile: `${admin}.key` },
    })
    await announce(this.#etcd, this.name, { id: this.id })
    return this.#etcd
  }

  get etcd(): EtcdProcess {
    if (this.#etcd === undefined) throw new Error('no etcd was started')
    return this.#etcd
  }

  /** A command line in this cluster. */
  run(line: string): Promise<Outcome> {
    return weft(line, { clock: systemClock, env: { WEFT_CLUSTERMESH_CONFIG: this.configDir, WEFT_PKI: this.pki } })
  }

  /** Exports to a file and returns its path. */
  async export(more = ''): Promise<{ file: string; fingerprint: string }> {
    const file = join(this.root, `${this.name}.join`)
    const { code, err } = await this.run(
      `clustermesh export-join -f ${file} --endpoint ${this.etcd.url} --cluster-name ${this.name} --cluster-id ${this.id}` +
        ` --pod-cidr 10.${this.id}.0.0/16 --service-cidr 10.${100 + this.id}.0.0/16 --mtu 1500 ${more}`,
    )
    const fingerprint = /([0-9a-f]{64})/.exec(err)?.[1]
    if (code !== 0 || fingerprint === undefined) throw new Error(err)
    return { file, fingerprint }
  }

  /** What an agent of this cluster makes of its directory: the source that reads remote clusters. */
  async follow(): Promise<Follower> {
    const sync = new SyncGates()
    const tables = createTables()
    const writer = new Writer(tables, sync)
    const source = await startMeshSource({
      configDir: this.configDir,
      cluster: { name: this.name, id: this.id },
      writer,
      sync,
      clock: systemClock,
      random: Math.random,
      log: silentLog,
      holdDownMs: 100,
    })
    return {
      until: (cluster, condition) =>
        new Promise((resolve, reject) => {
          const check = (): void => {
            if (!condition(tables.clusters.get(cluster))) return
            clearTimeout(timer)
            unsubscribe()
            resolve()
          }
          const unsubscribe = writer.subscribe(check)
          const timer = setTimeout(() => {
            unsubscribe()
            reject(new Error(`never happened: ${JSON.stringify(tables.clusters.get(cluster))}`))
          }, 20_000)
          check()
        }),
      [Symbol.asyncDispose]: () => source.stop(),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#etcd?.[Symbol.asyncDispose]()
    await rm(this.root, { recursive: true, force: true })
  }
}

export interface Follower extends AsyncDisposable {
  /** Resolves once `condition` holds for what is known of the cluster; looked at after every change. */
  until(cluster: string, condition: (cluster: Cluster | undefined) => boolean): Promise<void>
}
