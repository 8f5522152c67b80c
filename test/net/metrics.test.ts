import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CATALOGUE } from '../../agent/api/metrics/catalogue.ts'
import { eventually } from '../eventually.ts'
import { AgentHost } from './agent-process.ts'
import type { EtcdProcess } from './etcd.ts'
import { announceEast, exportEast } from './mesh-fixture.ts'
import type { Scrape } from './metrics-text.ts'
import { certificates, opensslEnd, ownNames, scrape } from './metrics-text.ts'
import { Sandbox } from './sandbox.ts'
import type { ClientFiles } from './tls-fixture.ts'
import { clusterFile, TestPki } from './tls-fixture.ts'

/** What Prometheus sees of a real agent, whose remote cluster is reached by TLS. */

const HERE = '169.254.79.1'
const AGENT = '169.254.79.2:9962'
const EAST = '{target_cluster="east"}'
const REMOTE = 'weft_clustermesh_remote_cluster'
const EMPTY = '10.2.0.9'

let sandbox: Sandbox
let host: AgentHost
let pki: TestPki
let files: ClientFiles
let etcd: EtcdProcess

beforeEach(async () => {
  sandbox = await Sandbox.start()
  sandbox.uplink('169.254.79')
  host = await AgentHost.create(sandbox)
  pki = await TestPki.create()
  etcd = await pki.startEtcd('east', { ips: [HERE] }, undefined, HERE)
  files = await pki.issue({ kind: 'remote' })
  await announceEast(etcd)
  await exportEast(etcd)
  await host.configure('east', clusterFile(etcd.url, files))
})

afterEach(async () => {
  await host.close()
  await etcd[Symbol.asyncDispose]()
  await pki[Symbol.asyncDispose]()
  await sandbox.stop()
})

/** The first scrape for which `condition` holds. */
function until(what: string, condition: (values: Scrape) => boolean): Promise<Scrape> {
  return eventually(
    async () => {
      const values = await scrape(AGENT)
      if (!condition(values)) throw new Error(JSON.stringify([...values].filter(([name]) => name.startsWith('weft_'))))
      return values
    },
    { what, timeoutMs: 20_000 },
  )
}

const service = (name: string, clusterIP: string): object => ({
  ...{ apiVersion: 'v1', kind: 'Service' },
  metadata: { name, annotations: { 'service.cilium.io/global': 'true' } },
  spec: { clusterIP, ports: [{ port: 80 }] },
})

test('an agent tells of its clusters, certificates, maps and packets, and what changes changes', async () => {
  await host.apply('services', service('webpod', '10.2.47.149'), service('empty', EMPTY))
  const flags = { 'prometheus-serve-addr': ':9962', 'audit-interval': '1s', 'auto-direct-node-routes': 'false' }
  await host.start(flags)
  const ready = await until(
    'east is ready and its server was asked',
    (values) => values.get(`${REMOTE}_readiness_status${EAST}`) === 1 && 'server' in certificates(values, 'east'),
  )
  expect(certificates(ready, 'east')).toEqual({
    ca: opensslEnd(pki.caFile),
    client: opensslEnd(files.certFile),
    server: opensslEnd(join(pki.directory, 'server.crt')),
  })
  for (const what of ['nodes', 'services', 'endpoints', 'identities']) {
    expect(ready.get(`${REMOTE}_${what}${EAST}`), what).toBe(1)
  }
  expect(ready.get(`${REMOTE}_unreachable${EAST}`)).toBe(0)
  expect(ready.get('weft_backends{reason="selected"}')).toBe(2)
  expect(ready.get('weft_reconciler_failing_entries{target="lb"}')).toBe(0)
  expect(ready.get('weft_bpf_map_entries{map="w_svc4_v1"}')).toBe(2)
  expect(ready.get('weft_bpf_map_capacity_entries{map="w_slot_v1"}')).toBe(65_536)
  expect(ready.get('nodejs_eventloop_lag_p99_seconds')).toBeGreaterThan(0)
  const known = CATALOGUE.agent.map(({ name }) => name)
  expect([...ownNames(ready)].filter((name) => !known.includes(name))).toEqual([])
  // What has not happened yet has no sample.
  expect(known.filter((name) => !ownNames(ready).has(name))).toEqual(
    expect.arrayContaining([`${REMOTE}_last_failure_timestamp_seconds`]),
  )

  const refused = 'weft_datapath_dropped_packets_total{reason="no-service",direction="socket"}'
  const attempt = `echo $$ >${sandbox.cgroup}/cgroup.procs && ! echo >/dev/tcp/${EMPTY}/80`
  expect(ready.get(refused)).toBe(0)
  sandbox.run('bash', '-c', attempt)
  await until('the refused connection is counted', (values) => values.get(refused) === 1)
  const audits = 'weft_reconciler_audits_total{target="lb"}'
  await until('another audit', (values) => (values.get(audits) ?? 0) > (ready.get(audits) ?? 0))

  const failures = ready.get(`${REMOTE}_failures_total${EAST}`) ?? NaN
  const cut = Date.now() / 1000
  await etcd.kill()
  const lost = await until('the loss is seen', (values) => values.get(`${REMOTE}_unreachable${EAST}`) === 1)
  expect(lost.get(`${REMOTE}_readiness_status${EAST}`)).toBe(0)
  expect(lost.get(`${REMOTE}_failures_total${EAST}`)).toBeGreaterThan(failures)
  expect(lost.get(`${REMOTE}_last_failure_timestamp_seconds${EAST}`)).toBeGreaterThan(cut)
  expect(lost.get('weft_problems{code="cluster-unreachable"}')).toBe(1)
  await etcd.launch()
  const back = await until('east is back', (values) => values.get(`${REMOTE}_readiness_status${EAST}`) === 1)
  expect([...back.keys()].filter((series) => series.startsWith('weft_problems'))).toEqual([])
})

test('an address that cannot be had is a problem, and the agent goes on', async () => {
  const agent = await host.start({ 'prometheus-serve-addr': '192.0.2.1:9962' })
  const status = await agent.until('the problem is told', ({ problems }) =>
    problems.some(({ code }) => code === 'metrics-not-served'),
  )
  expect(status.problems.find(({ code }) => code === 'metrics-not-served')?.message).toMatch(
    /^metrics are not served on 192\.0\.2\.1:9962: listen EADDRNOTAVAIL/,
  )
  expect(agent.runs).toBe(true)
})
