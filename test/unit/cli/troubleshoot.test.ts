import { expect, test } from 'vitest'
import type { ServiceRow } from '../../../agent/cli/bpf/format.ts'
import { renderIpcache, renderLb } from '../../../agent/cli/bpf/tables.ts'
import { renderTroubleshoot, troubleshootReport } from '../../../agent/cli/mesh/troubleshoot-text.ts'
import type { EndpointProbe } from '../../../agent/peering/probe.ts'
import type { EtcdProbe } from '../../../agent/peering/probe-etcd.ts'
import type { ClusterFindings } from '../../../agent/peering/troubleshoot.ts'
import { NOW, probe } from '../peering/fixture.ts'

const ETCD: EtcdProbe = {
  clusterId: 'c6ba18866da7dfd8',
  error: undefined,
  heartbeat: '2026-11-20T07:59:48Z',
  config: { id: 2, syncedCanaries: true, cached: false, maxConnectedClusters: 255, serviceExportsEnabled: false },
  canaries: [
    { resource: 'nodes', seen: true },
    { resource: 'services', seen: true },
  ],
}

function found(endpoint: Partial<EndpointProbe>, etcd: Partial<EtcdProbe> = {}): ClusterFindings {
  return {
    name: 'east',
    validName: true,
    local: false,
    path: '/var/lib/cilium/clustermesh/east',
    configError: undefined,
    endpoints: [probe(endpoint)],
    certificates: { roots: undefined, client: undefined, clientWarning: undefined },
    etcd: { ...ETCD, ...etcd },
    now: NOW,
  }
}

const render = (...all: ClusterFindings[]): string => renderTroubleshoot(all.map(troubleshootReport))

test('the sections and lines of the guide, then the exporter', () => {
  expect(render(found({}))).toBe(`\
Found 1 cluster configurations

Cluster "east":
📄 Configuration path: /var/lib/cilium/clustermesh/east

🔌 Endpoints:
   - https://east.mesh.cilium.io:32379
     ✅ Hostname resolved to: 172.18.0.4
     ✅ TCP connection successfully established to 172.18.0.4:32379
     ✅ TLS connection successfully established to 172.18.0.4:32379
     ℹ️  Negotiated TLS version: TLS 1.3, ciphersuite TLS_AES_128_GCM_SHA256
     ℹ️  Etcd server version: 3.5.21

🔑 Digital certificates:
   ℹ️  TLS Root CA certificates: none configured, those of the system are used

⚙️ Etcd client:
   ✅ Etcd connection successfully established
   ℹ️  Etcd cluster ID: c6ba18866da7dfd8

📡 Exporter:
   ✅ Cluster configuration retrieved: cluster-id=2, kvstoremesh=false, sync-canaries=true, max-connected-clusters=255
   ✅ Synchronization canaries: nodes=true, services=true
   ✅ The last heartbeat was written 12s ago
   ✅ Clocks are less than 5s apart
`)
})

test('our own entry is named and not tried', () => {
  const own = { ...found({}), local: true, endpoints: [], certificates: undefined, etcd: undefined }
  expect(render(own)).toBe(`\
Found 1 cluster configurations

Cluster "east":
📄 Configuration path: /var/lib/cilium/clustermesh/east
ℹ️  This entry corresponds to the local cluster
`)
  expect(troubleshootReport(own).ok).toBe(true)
})

test.each([
  [
    'name',
    { dnsError: 'getaddrinfo ENOTFOUND', tcp: undefined },
    {},
    /❌ Cannot resolve hostname: getaddrinfo ENOTFOUND\n +💡 /,
  ],
  [
    'silence',
    { tcp: { address: '172.18.0.4', error: 'no answer within 5000 ms' } },
    {},
    /❌ Cannot establish TCP.*\n +💡 no packet/,
  ],
  [
    'server name',
    { tls: { error: "Hostname/IP does not match certificate's altnames" } },
    {},
    /❌ Cannot establish TLS.*\n +💡 issue/,
  ],
  [
    'client certificate',
    { version: { error: 'alert certificate required' } },
    {},
    /❌ TLS client authentication failed at /,
  ],
  ['user', {}, { error: 'etcdserver: invalid auth token' }, /❌ Etcd authentication failed: /],
  ['role', {}, { error: 'etcdserver: permission denied' }, /❌ Failed to retrieve key from etcd: /],
  [
    'config',
    {},
    { config: { error: 'it is not there' } },
    /❌ Cluster configuration not retrieved: it is not there\n +💡 is this/,
  ],
  [
    'canary',
    {},
    { canaries: [{ resource: 'nodes', seen: false }] },
    /❌ Synchronization canaries: nodes=false\n +💡 the exporter/,
  ],
  [
    'heartbeat',
    {},
    { heartbeat: '2026-11-20T07:50:00Z' },
    /❌ The last heartbeat was written 10m ago\n +💡 the exporter/,
  ],
  ['no heartbeat', {}, { heartbeat: undefined }, /❌ No heartbeat was ever written/],
  ['clock', { skewMs: -42_000 }, {}, /❌ The clock there is 42s behind\n +💡 set both/],
])('%s: what failed, and the next step', (_what, endpoint, etcd, line) => {
  const findings = found(endpoint, etcd)
  expect(render(findings)).toMatch(line)
  expect(troubleshootReport(findings).ok).toBe(false)
})

test('listings of maps mark what an agent told, and nothing without one', () => {
  const service: ServiceRow = {
    id: 13,
    address: '10.2.47.149:80/TCP',
    flags: ['ClusterIP'],
    algorithm: 'maglev',
    forwarding: 'snat',
    affinitySeconds: 0,
    maglevSize: 0,
    slots: [],
  }
  expect(renderLb([{ ...service, global: true }])).toContain('(13) (0) [ClusterIP, global]\n')
  expect(renderLb([service])).toContain('(13) (0) [ClusterIP]\n')
  const row = { prefix: '10.1.1.41/32', identity: 137204, clusterId: 2, tunnelEndpoint: '172.18.0.3', flags: [] }
  expect(renderIpcache([{ ...row, cluster: 'east' }])).toContain('flags=<none> cluster=east\n')
  expect(renderIpcache([row])).toContain('flags=<none> cluster=2\n')
  expect(renderIpcache([{ ...row, clusterId: 0 }])).toContain('flags=<none>\n')
})
