import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { AGENT_METRICS, agentSamples } from '../../../agent/api/metrics/agent.ts'
import { COMMON_METRICS, READY_METRIC } from '../../../agent/api/metrics/common.ts'
import { certificateSamples, MESH_METRICS } from '../../../agent/api/metrics/mesh.ts'
import type { Metric, Sample } from '../../../agent/api/metrics/metric.ts'
import { exposition, sample } from '../../../agent/api/metrics/metric.ts'
import { MetricsServer } from '../../../agent/api/metrics/server.ts'
import { systemClock } from '../../../agent/lib/clock.ts'
import { isListenAddress, parseListenAddress } from '../../../agent/lib/listen-address.ts'
import { silentLog } from '../../../agent/lib/log.ts'
import type { Problem } from '../../../agent/types/problem.ts'
import { eventually } from '../../eventually.ts'
import { cluster, decision, frontend, HIDDEN, row, webpodDecisions, world } from './fixture.ts'

const NOT_AFTER = new Date('2027-11-21T00:00:00Z')

/** Values by name and labels, in the text form. */
function shown(samples: readonly Sample[]): Record<string, number> {
  return Object.fromEntries(
    samples.map(({ metric, labels, value }) => {
      const text = Object.entries(labels).map(([key, label]) => `${key}=${label}`)
      return [text.length === 0 ? metric.name : `${metric.name}{${text.join(',')}}`, value]
    }),
  )
}

describe('names', () => {
  const all: Metric[] = [AGENT_METRICS, COMMON_METRICS, MESH_METRICS].flatMap((group) => Object.values<Metric>(group))

  test.each([...all, READY_METRIC].map((metric) => [metric.name, metric] as const))('%s', (name, { type, help }) => {
    expect(name).toMatch(/^weft_[a-z_]+$/)
    expect(name.endsWith('_total')).toBe(type === 'counter')
    expect(help).toMatch(/\.$/)
  })

  test('no two metrics share one', () => {
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length)
  })
})

describe('samples of an agent', () => {
  test('say what the state says', async () => {
    const group = frontend(webpodDecisions('local')).group
    const rows = [row(frontend([], { group })), row(frontend([], { group, scope: 'int' }))]
    rows.push(row(frontend([decision('10.0.0.9', { selected: false, reason: 'not-ready' })])))
    const { view, writer } = world(rows, { waitingFor: () => ['mesh/east'] })
    const certificate = { role: 'server', subject: 'CN=etcd', notAfter: NOT_AFTER, state: 'ok', verdict: 'ok' } as const
    const lost = { unreachable: true, failures: 3, lastFailure: 1_700_000_000_500, certificates: [certificate] }
    writer.upsertCluster(cluster(lost))
    writer.upsertReach({ cluster: 'east', answers: false, dead: new Set([1, 2]) }, [])
    const packets = [
      { reason: 'forwarded', direction: 'socket', packets: 5, bytes: 0 },
      { reason: 'no-service', direction: 'ingress', packets: 2, bytes: 120 },
    ]
    expect(shown(await agentSamples(view, packets))).toMatchObject({
      'weft_build_info{version=0.1.0,cluster=west}': 1,
      'weft_problems{code=cluster-unreachable}': 1,
      weft_sources_waiting: 1,
      // The two frontends of one service port share their backends.
      'weft_backends{reason=selected}': 2,
      [`weft_backends{reason=${HIDDEN.reason}}`]: 2,
      'weft_backends{reason=not-ready}': 1,
      'weft_backends{reason=unhealthy}': 0,
      'weft_reconciler_desired_entries{target=ipcache}': 6,
      'weft_reconciler_drift_repaired_total{target=ipcache}': 1,
      'weft_datapath_forwarded_packets_total{direction=socket}': 5,
      'weft_datapath_dropped_packets_total{reason=no-service,direction=ingress}': 2,
      'weft_datapath_dropped_bytes_total{reason=no-service,direction=ingress}': 120,
      weft_clustermesh_remote_clusters: 1,
      'weft_clustermesh_remote_cluster_readiness_status{target_cluster=east}': 0,
      'weft_clustermesh_remote_cluster_unreachable{target_cluster=east}': 1,
      'weft_clustermesh_remote_cluster_failures_total{target_cluster=east}': 3,
      'weft_clustermesh_remote_cluster_last_failure_timestamp_seconds{target_cluster=east}': 1_700_000_000.5,
      'weft_clustermesh_remote_cluster_synced{target_cluster=east,resource=nodes}': 1,
      'weft_clustermesh_remote_cluster_unanswering_backends{target_cluster=east}': 2,
      'weft_tls_certificate_not_after_seconds{cluster=east,role=server,subject=CN=etcd}': NOT_AFTER.getTime() / 1000,
    })
  })

  test('never failed is no date', async () => {
    const { view, writer } = world()
    writer.upsertCluster(cluster())
    const names = Object.keys(shown(await agentSamples(view, [])))
    expect(names.filter((name) => name.includes('last_failure'))).toEqual([])
  })

  test('of two CAs with one name, the newer one counts', () => {
    const ca = { role: 'ca', subject: 'CN=mesh', state: 'ok', verdict: 'ok' } as const
    const both = ['2026-12-01T00:00:00Z', '2036-12-01T00:00:00Z'].map((end) => ({ ...ca, 'not-after': end }))
    const samples = [...certificateSamples('east', [...both, both[0]!])]
    expect(samples.map(({ value }) => value)).toEqual([Date.parse('2036-12-01T00:00:00Z') / 1000])
  })
})

test('the text format', async () => {
  const { waiting, droppedPackets } = AGENT_METRICS
  const text = await exposition([
    sample(waiting, 2, {}),
    sample(droppedPackets, 7, { reason: 'a "b"\n', direction: 'ingress' }),
    sample(droppedPackets, 0, { reason: 'c', direction: 'egress' }),
  ])
  expect(text.split('\n').filter((line) => line !== '')).toEqual([
    `# HELP weft_sources_waiting ${waiting.help}`,
    '# TYPE weft_sources_waiting gauge',
    'weft_sources_waiting 2',
    `# HELP weft_datapath_dropped_packets_total ${droppedPackets.help}`,
    '# TYPE weft_datapath_dropped_packets_total counter',
    'weft_datapath_dropped_packets_total{reason="a \\"b\\"\\n",direction="ingress"} 7',
    'weft_datapath_dropped_packets_total{reason="c",direction="egress"} 0',
  ])
})

test.each([
  [':9962', undefined, 9962],
  ['127.0.0.1:1', '127.0.0.1', 1],
  ['[::1]:65535', '::1', 65535],
])('%s is where to listen', (text, host, port) => {
  expect(isListenAddress(text)).toBe(true)
  expect(parseListenAddress(text)).toEqual({ host, port })
})

test.each(['9962', ':0', ':65536', 'localhost:1', '::1:9962', '[127.0.0.1]:1', '[]:1', ''])('%j is not', (text) => {
  expect(isListenAddress(text)).toBe(false)
})

describe('the server', () => {
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  async function taken(): Promise<{ address: string; free: () => Promise<void> }> {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const free = (): Promise<void> => new Promise((resolve) => other.close(() => resolve()))
    return { address: `127.0.0.1:${(other.address() as AddressInfo).port}`, free }
  }

  test('an address that somebody else has is a problem until it is free', async () => {
    const { address, free } = await taken()
    const told: (readonly Problem[])[] = []
    let retry: () => void = () => undefined
    const clock = {
      ...systemClock,
      after: (_: number, fn: () => void) => {
        retry = fn
        return () => undefined
      },
    }
    const onProblems = (problems: readonly Problem[]): void => void told.push(problems)
    const samples = (): Sample[] => [sample(READY_METRIC, 1, {})]
    const server = await MetricsServer.start({ address, samples, onProblems, clock, log: silentLog })
    closing.push(() => server.close())
    expect(told).toMatchObject([[{ code: 'metrics-not-served' }]])
    expect(told[0]![0]!.message).toContain(`${address}: listen EADDRINUSE`)
    await free()
    retry()
    await eventually(() => Promise.resolve(told.length === 2), { what: 'another try' })
    expect(told[1]).toEqual([])
    const answer = await fetch(`http://${address}/metrics`)
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const text = await answer.text()
    expect(text).toContain('\nweft_ready 1\n')
    expect(text).toMatch(/^process_cpu_seconds_total \d/m)
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds \d/m)
    expect((await fetch(`http://${address}/`)).status).toBe(404)
  })

  test('samples that cannot be read are an error, and the next scrape tries again', async () => {
    const { address, free } = await taken()
    await free()
    let broken = true
    const server = await MetricsServer.start({
      ...{ address, clock: systemClock, log: silentLog, onProblems: () => undefined },
      samples: () => {
        if (broken) throw new Error('the map is gone')
        return []
      },
    })
    closing.push(() => server.close())
    const first = await fetch(`http://${address}/metrics`)
    expect([first.status, await first.text()]).toEqual([500, 'the map is gone\n'])
    broken = false
    expect((await fetch(`http://${address}/metrics`)).status).toBe(200)
  })
})
