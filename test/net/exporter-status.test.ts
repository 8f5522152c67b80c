import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ApiClient } from '../../agent/api/client.ts'
import { CATALOGUE } from '../../agent/api/metrics/catalogue.ts'
import type { ExporterReport, StatusReport } from '../../agent/api/types.ts'
import { silentLog } from '../../agent/lib/log.ts'
import { runApiserver } from '../../agent/run/apiserver.ts'
import { runKvstoremesh } from '../../agent/run/kvstoremesh.ts'
import { eventually } from '../eventually.ts'
import { weft } from '../unit/cli/harness.ts'
import type { EtcdProcess } from './etcd.ts'
import { freePort } from './etcd.ts'
import { announceExporter } from './kvstoremesh-fixture.ts'
import { EAST_NODE } from './mesh-fixture.ts'
import { certificates, opensslEnd, ownNames, scrape } from './metrics-text.ts'
import { clusterFile, TestPki } from './tls-fixture.ts'

/** How the programs beside the agent tell of themselves: status on the socket, metrics, both with what their TLS stands on. */

const DAY_MS = 86_400_000
const NODE_KEY = 'cilium/state/nodes/v1/east/east-worker'

let pki: TestPki
let etcd: EtcdProcess
let directory: string
let socket: string
let metrics: string
let stop: AbortController
let running: Promise<void>

beforeEach(async () => {
  pki = await TestPki.create(undefined, new Date(Date.now() - 30 * DAY_MS))
  directory = await mkdtemp(join(tmpdir(), `weft-exporters-${process.pid}-`))
  socket = join(directory, '.sock')
  metrics = `127.0.0.1:${await freePort()}`
  stop = new AbortController()
})

afterEach(async () => {
  stop.abort(new Error('stopped'))
  await running
  await etcd[Symbol.asyncDispose]()
  await pki[Symbol.asyncDispose]()
  await rm(directory, { recursive: true })
})

const settings = (cluster: string, id: number, files = pki.files(`admin-${cluster}`)) => ({
  ...{ clusterName: cluster, clusterId: id, etcdEndpoints: [etcd.url], apiSocket: socket },
  ...{ etcdCaFile: files.caFile, etcdCertFile: files.certFile, etcdKeyFile: files.keyFile },
  ...{ prometheusServeAddr: metrics, version: '9.9.9', logLevel: 'silent' as const, log: silentLog },
})

/** The first status for which `condition` holds. */
function until(what: string, condition: (report: ExporterReport) => boolean): Promise<ExporterReport> {
  return eventually(
    async () => {
      const report = (await new ApiClient(socket).status()) as ExporterReport & StatusReport
      if (!condition(report)) throw new Error(JSON.stringify(report))
      return report
    },
    { what, timeoutMs: 20_000 },
  )
}

const rolesOf = (report: Pick<ExporterReport, 'certificates'>): string[] =>
  (report.certificates ?? []).map(({ role }) => role).sort()

const unknown = (program: keyof typeof CATALOGUE, names: Set<string>): string[] =>
  [...names].filter((name) => !CATALOGUE[program].some((metric) => metric.name === name))

describe('clustermesh-apiserver', () => {
  test('tells how its certificates stand, what it has written, and that one ends soon', async () => {
    etcd = await pki.startEtcd('east')
    // Of ten days, nine have passed.
    const from = new Date(Date.now() - 9 * DAY_MS)
    const admin = await pki.issue({ kind: 'admin', cluster: 'east' }, { from, lifetimeMs: 10 * DAY_MS })
    running = runApiserver({ ...settings('east', 2), manifests: directory }, stop.signal)
    const report = await until('all is exported', (it) => it.ready && rolesOf(it).includes('server'))
    expect(rolesOf(report)).toEqual(['ca', 'client', 'server'])
    expect(report).toMatchObject({ ok: false, version: '9.9.9', cluster: { name: 'east', id: 2 } })
    expect(report.problems).toMatchObject([{ code: 'mesh-certificate-expires-soon' }])
    expect(report.problems[0]?.message).toContain(`the client certificate for the own etcd (CN=admin-east`)

    const values = await scrape(metrics)
    expect(certificates(values, 'east')).toEqual({
      ca: opensslEnd(pki.caFile),
      client: opensslEnd(admin.certFile),
      server: opensslEnd(join(pki.directory, 'server.crt')),
    })
    expect(values.get('weft_ready')).toBe(1)
    expect(values.get('weft_problems{code="mesh-certificate-expires-soon"}')).toBe(1)
    expect(values.get('weft_build_info{version="9.9.9",cluster="east"}')).toBe(1)
    expect(values.get('weft_reconciler_failing_entries{target="etcd"}')).toBe(0)
    expect(unknown('clustermesh-apiserver', ownNames(values))).toEqual([])

    await pki.issue({ kind: 'admin', cluster: 'east' })
    await until('the renewed certificate is seen', ({ ok }) => ok)
    expect(certificates(await scrape(metrics), 'east')['client']).toBe(opensslEnd(admin.certFile))
  })
})

describe('kvstoremesh', () => {
  test('tells of the clusters it copies as agents do, and of both ends of its TLS', async () => {
    etcd = await pki.startEtcd('west')
    await using other = await TestPki.create('CA of east')
    await using east = await other.startEtcd('east')
    const files = await other.issue({ kind: 'remote', peer: 'west' })
    await announceExporter(east, 'east', 2)
    await east.put(NODE_KEY, EAST_NODE)
    await writeFile(join(directory, 'east'), clusterFile(east.url, files))
    running = runKvstoremesh({ ...settings('west', 1), clustermeshConfig: directory }, stop.signal)
    const report = await until('east is copied', (it) => {
      const [cluster] = it.clusterMesh.clusters
      return it.ready && rolesOf(it).length === 3 && cluster !== undefined && rolesOf(cluster).length === 3
    })
    expect(report).toMatchObject({ ok: true, problems: [], version: '9.9.9' })

    const values = await scrape(metrics)
    const ends = (caFile: string, certFile: string, server: string): object => ({
      ...{ ca: opensslEnd(caFile), client: opensslEnd(certFile), server: opensslEnd(join(server, 'server.crt')) },
    })
    expect(certificates(values, 'west')).toEqual(ends(pki.caFile, pki.files('admin-west').certFile, pki.directory))
    expect(certificates(values, 'east')).toEqual(ends(other.caFile, files.certFile, other.directory))
    const remote = (what: string): number | undefined =>
      values.get(`weft_clustermesh_remote_cluster_${what}{target_cluster="east"}`)
    expect([remote('readiness_status'), remote('nodes'), remote('services')]).toEqual([1, 1, 0])
    expect(unknown('kvstoremesh', ownNames(values))).toEqual([])

    const text = await weft(`clustermesh status --socket ${socket}`, { api: new ApiClient(socket) })
    expect(text).toMatchObject({ code: 0, err: '' })
    expect(text.out).toContain('ℹ️  KVStoreMesh is enabled\n')
    expect(text.out).toContain(
      '✅ All 1 KVStoreMesh replicas are connected to all clusters [min:1 / avg:1.0 / max:1]\n',
    )
    expect(text.out).toContain('🔌 Cluster Connections:\n  - east: 1/1 configured, 1/1 connected\n')
    expect(text.out).not.toContain('❌')

    await east.kill()
    await until('the loss is seen', ({ clusterMesh }) => clusterMesh.clusters.some(({ ready }) => !ready))
    const lost = await weft(`clustermesh status --socket ${socket}`, { api: new ApiClient(socket) })
    expect(lost.code).toBe(1)
    expect(lost.out).toContain('❌ kvstoremesh is not connected to cluster east: ')
    const after = await scrape(metrics)
    expect(after.get('weft_clustermesh_remote_cluster_readiness_status{target_cluster="east"}')).toBe(0)
    expect(after.get('weft_clustermesh_remote_cluster_failures_total{target_cluster="east"}')).toBeGreaterThan(0)
  })
})
