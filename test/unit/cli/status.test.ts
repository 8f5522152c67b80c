import { describe, expect, it } from 'vitest'
import type { Api } from '../../../agent/api/client.ts'
import { ApiClientError } from '../../../agent/api/errors.ts'
import { addEast, addEastWebpod, STARTED, world } from '../api/fixture.ts'
import { apiOver, impatientClock, output, weft } from './harness.ts'

const NEXT_LINES = {
  config:
    '   └  remote configuration: expected=true, retrieved=true, cluster-id=2, kvstoremesh=false, sync-canaries=true, service-exports=disabled\n',
  etcd: '   └  etcd: 1/1 connected, leases=0, lock leases=0, has-quorum=true: endpoint status checks are disabled, ID: c6ba18866da7dfd8\n',
}

function east(fields: Parameters<typeof addEast>[1] = {}) {
  const made = world()
  addEast(made.writer, fields)
  return made
}

describe('weft status', () => {
  it('is short when all is well', async () => {
    expect(await output('status', { view: east().view })).toBe(
      `\
Weft:                   Ok            0.1.0
Cluster:                west          id 1
Node:                   west-worker   172.18.0.6, pods 10.0.1.0/24
Uptime:                 1h2m3s
Sources:                Ok
KubeProxyReplacement:   True          [eth0 172.18.0.6]
Datapath:               Ok            8/8 in place
ClusterMesh:   1/1 remote clusters ready, 0 global-services
`,
    )
  })

  it('has the mesh block of the guide with --verbose', async () => {
    const out = await output('status --verbose', { view: east().view })
    expect(out.slice(out.indexOf('ClusterMesh:'), out.indexOf('KubeProxyReplacement Details'))).toBe(
      `\
ClusterMesh:   1/1 remote clusters ready, 0 global-services
   east: ready, 2 nodes, 4 endpoints, 3 identities, 0 services, 0 MCS-API service exports, 0 reconnections (last: never)
${NEXT_LINES.etcd}${NEXT_LINES.config}   └  synchronization status: nodes=true, endpoints=true, identities=true, services=true
`,
    )
  })

  it('tells the load balancer, programs, maps and targets with --verbose', async () => {
    const out = await output('status --verbose', { view: east().view })
    expect(out.slice(out.indexOf('KubeProxyReplacement Details'))).toBe(
      `\
KubeProxyReplacement Details:
  Status:              True
  Mode:                SNAT
  Backend Selection:   Maglev (Table Size: 16381)
  Session Affinity:    Enabled
  XDP Acceleration:    Disabled
BPF Programs:
  Name            Attached To             ID
  weft_connect4   cgroup /sys/fs/cgroup   41
BPF Maps:
  Name        Entries   Size    Fill
  w_svc4_v1   2         65536   <1%
  w_ipc_v1    6         8       75%
Reconciled Targets:
  Name       Desired   Actual   Pending   Failing   Drift   Last Error
  services   2         2        0         0         0
  ipcache    6         6        0         0         1
`,
    )
  })

  it.each([
    ['dsr', '  Mode:                  DSR\n    DSR Dispatch Mode:   Geneve\n'],
    ['hybrid', '  Mode:                  Hybrid\n    DSR Dispatch Mode:   Geneve\n'],
  ])('tells mode %s as the guide shows it', async (mode, lines) => {
    const { view } = east()
    const datapath = view.datapath()
    const loadBalancer = { ...datapath.loadBalancer, mode }
    const out = await output('status --verbose', { view: { ...view, datapath: () => ({ ...datapath, loadBalancer }) } })
    expect(out).toContain(lines)
  })

  it('details a cluster that is not ready, tells the problem with a hint, and exits with 1', async () => {
    const { view } = east({
      state: 'syncing',
      synced: { nodes: true, endpoints: true, identities: true, services: false },
      failures: 2,
      lastFailure: STARTED + 3_660_000,
    })
    const { code, out, err } = await weft('status', { view })
    expect({ code, err }).toEqual({ code: 1, err: '' })
    expect(out.slice(out.indexOf('ClusterMesh:'))).toBe(
      `\
ClusterMesh:   0/1 remote clusters ready, 0 global-services
   east: not-ready, 2 nodes, 4 endpoints, 3 identities, 0 services, 0 MCS-API service exports, 2 reconnections (last: 1m3s ago)
${NEXT_LINES.etcd}${NEXT_LINES.config}   └  synchronization status: nodes=true, endpoints=true, identities=true, services=false
Problems:   1
  cluster-not-synced: cluster east: synchronization in progress for services
    hint: its exporter (weft clustermesh-apiserver) must run and finish its first export
`,
    )
  })

  it('does not invent a configuration it has not read', async () => {
    const { view } = east({ state: 'connecting', config: undefined, etcdClusterId: undefined, id: 0 })
    const { out } = await weft('status', { view })
    expect(out).toContain(
      '   └  Waiting for initial connection to be established\n' +
        '   └  remote configuration: expected=unknown, retrieved=unknown\n',
    )
  })

  it('has ok and problems in JSON', async () => {
    const { view, writer } = east()
    expect(JSON.parse(await output('status -o json', { view }))).toMatchObject({ ok: true, problems: [] })
    writer.setProblems('bad.yaml', [{ code: 'manifest-refused', message: 'bad.yaml:3: port 0', hint: 'use 1..65535' }])
    const { code, out } = await weft('status -o json', { view })
    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject({
      ok: false,
      problems: [{ code: 'manifest-refused', message: 'bad.yaml:3: port 0', hint: 'use 1..65535' }],
    })
  })
})

describe('weft clustermesh status', () => {
  it('counts what this one node knows', async () => {
    const { view, writer } = east()
    addEastWebpod(writer)
    expect(await output('clustermesh status', { view })).toBe(
      `\
ℹ️  No clustermesh-apiserver runs beside this agent

✅ All 1 nodes are connected to all clusters [min:1 / avg:1.0 / max:1]

🔌 Cluster Connections:
  - east: 1/1 configured, 1/1 connected

🔀 Global services: [ min:1 / avg:1.0 / max:1 ]
`,
    )
  })

  it('names what is missing and exits with 1', async () => {
    const { view } = east({
      state: 'syncing',
      synced: { nodes: false, services: false, endpoints: true, identities: true },
    })
    const { code, out } = await weft('clustermesh status', { view })
    expect(code).toBe(1)
    expect(out).toBe(
      `\
ℹ️  No clustermesh-apiserver runs beside this agent

⚠️  1/1 nodes are not connected to all clusters [min:0 / avg:0.0 / max:0]

🔌 Cluster Connections:
  - east: 1/1 configured, 0/1 connected

🔀 Global services: [ min:0 / avg:0.0 / max:0 ]

❌ 1 Errors:
  ❌ west-worker is not connected to cluster east: synchronization in progress for nodes, services
`,
    )
  })

  it('names the command that goes the way to a cluster that is not connected', async () => {
    const { view } = east({ state: 'disconnected', failures: 3, message: 'connect ECONNREFUSED' })
    const { code, out } = await weft('clustermesh status', { view })
    expect(code).toBe(1)
    expect(out.slice(out.indexOf('❌'))).toBe(
      `\
❌ 1 Errors:
  ❌ west-worker is not connected to cluster east: Err: connect ECONNREFUSED, ID: c6ba18866da7dfd8
     💡 Run "weft troubleshoot clustermesh east" to find out where the way ends
`,
    )
  })

  it('counts replicas when a kvstoremesh answers, which tells less', async () => {
    const inner = apiOver(east().view)
    const api: Api = {
      ...inner,
      status: async () => {
        const { clusterMesh } = await inner.status()
        return { clusterMesh } as Awaited<ReturnType<Api['status']>>
      },
      config: async () => {
        throw new ApiClientError('bad-answer', 'HTTP status 404')
      },
    }
    expect((await output('clustermesh status', { api })).split('\n').slice(0, 3)).toEqual([
      'ℹ️  KVStoreMesh is enabled',
      '',
      '✅ All 1 KVStoreMesh replicas are connected to all clusters [min:1 / avg:1.0 / max:1]',
    ])
  })

  it('has the top level of the guide in JSON', async () => {
    const report = JSON.parse(await output('clustermesh status -o json', { view: east().view })) as object
    expect(report).toMatchObject({
      access_information: [],
      connectivity: {
        connected: { min: 1, avg: 1, max: 1 },
        clusters: { east: { configured: { max: 1 }, connected: { max: 1 } } },
        total: 1,
        not_ready: 0,
        errors: {},
      },
      kvstoremesh: { enabled: false },
    })
  })

  it('knows when there is no other cluster', async () => {
    expect(await output('clustermesh status', { view: world().view })).toContain('🔌 No cluster connected\n')
  })

  it('waits until the clusters are there, an agent not yet started included', async () => {
    const missing = await weft('clustermesh status --wait --wait-duration 12s')
    expect(missing).toMatchObject({ code: 1, out: '' })
    expect(missing.err).toBe(
      `\
⌛ Waiting (0s) for clusters to be connected: no agent answers on /run/weft/weft.sock
⌛ Waiting (5s) for clusters to be connected: no agent answers on /run/weft/weft.sock
⌛ Waiting (10s) for clusters to be connected: no agent answers on /run/weft/weft.sock
error: gave up after 12s: no agent answers on /run/weft/weft.sock
hint: start one with "weft agent"
`,
    )

    const { view, writer } = east({ state: 'connecting' })
    const clock = impatientClock()
    const inner = apiOver(view)
    const api: Api = {
      ...inner,
      status: async () => {
        if (clock.waited >= 3000) addEast(writer)
        return inner.status()
      },
    }
    const done = await weft('clustermesh status --wait', { api, clock })
    expect(done.code).toBe(0)
    expect(done.out).toContain('✅ All 1 nodes are connected')
    expect(done.err).toBe('⌛ Waiting (0s) for clusters to be connected: 1 nodes are not ready\n')
    expect(clock.waited).toBe(3000)
  })

  it('refuses a duration it cannot read', async () => {
    expect(await weft('clustermesh status --wait --wait-duration soon')).toMatchObject({
      code: 2,
      err: 'error: not a duration: soon\nhint: write it like 30s, 15m or 1h30m\n',
    })
  })
})
