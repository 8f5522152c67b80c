import type { AgentView, FrontendView } from '../../../agent/api/view.ts'
import type { RowStatus } from '../../../agent/reconcile/target.ts'
import type { MutableTables } from '../../../agent/state/tables.ts'
import { createTables } from '../../../agent/state/tables.ts'
import { SyncGates } from '../../../agent/state/sync.ts'
import { Writer } from '../../../agent/state/writer.ts'
import { ANY_ADDRESS, formatAddress } from '../../../agent/types/address.ts'
import type { Cluster } from '../../../agent/types/cluster.ts'
import type { BackendDecision, Frontend } from '../../../agent/types/frontend.ts'
import type { Problem } from '../../../agent/types/problem.ts'
import type { Service } from '../../../agent/types/service.ts'
import { serviceName } from '../../../agent/types/service.ts'
import { ip, serviceRow } from '../../rows.ts'

export const WEBPOD = serviceName('default', 'webpod')
export const STARTED = Date.parse('2026-11-20T08:00:00Z')

export { ip }

export function service(fields: Partial<Service> = {}): Service {
  return serviceRow({
    name: WEBPOD,
    clusterIPs: [ip('10.2.47.149')],
    ports: [{ name: '', protocol: 6, port: 80, targetPort: 80, nodePort: undefined }],
    selector: { app: 'webpod' },
    mesh: { global: true, shared: true, affinity: 'none' },
    origin: 'webpod.yaml:1',
    ...fields,
  })
}

export function decision(address: string, fields: Partial<BackendDecision> = {}): BackendDecision {
  const remote = address.startsWith('10.1.')
  return {
    address: ip(address),
    port: 80,
    protocol: 6,
    cluster: remote ? 'east' : 'west',
    clusterId: remote ? 2 : 1,
    nodeName: remote ? undefined : 'west-worker',
    zone: undefined,
    condition: 'ready',
    selected: true,
    preferred: false,
    weight: 100,
    tier: 0,
    reason: 'selected',
    ...fields,
  }
}

export const HIDDEN = { selected: false, reason: 'affinity-hides', tier: 1 } as const

/** The four backends of the guide, under one of its affinities. */
export function webpodDecisions(affinity: 'none' | 'local' | 'remote'): BackendDecision[] {
  return ['10.0.0.46', '10.0.1.219', '10.1.0.190', '10.1.1.41'].map((address) => {
    if (affinity === 'none') return decision(address)
    const here = !address.startsWith('10.1.')
    return decision(address, here === (affinity === 'local') ? { preferred: true } : HIDDEN)
  })
}

export function frontend(decisions: readonly BackendDecision[], fields: Partial<Frontend> = {}): Frontend {
  const address = fields.address ?? ip('10.2.47.149')
  return {
    id: `${formatAddress(address)}:80/TCP`,
    address,
    port: 80,
    protocol: 6,
    scope: 'ext',
    service: WEBPOD,
    type: 'ClusterIP',
    flags: 0,
    algorithm: 'random',
    affinitySeconds: 0,
    forwarding: 'snat',
    maglevSize: 0,
    group: { slots: [], count: 0, decisions },
    ...fields,
  }
}

export function row(of: Frontend, id: number | null = 13, status: RowStatus = { state: 'done' }): FrontendView {
  return { frontend: of, id: id ?? undefined, status }
}

export function cluster(fields: Partial<Cluster> = {}): Cluster {
  return {
    name: 'east',
    id: 2,
    state: 'ready',
    unreachable: false,
    synced: { nodes: true, services: true, endpoints: true, identities: true },
    failures: 0,
    lastFailure: undefined,
    message: '',
    config: { syncedCanaries: true, cached: false, serviceExports: 'disabled' },
    etcdClusterId: 'c6ba18866da7dfd8',
    ...fields,
  }
}

export interface World {
  readonly tables: MutableTables
  readonly writer: Writer
  readonly view: AgentView
}

/** A view over real tables, filled through a real Writer. */
export function world(rows: readonly FrontendView[] = [], fields: Partial<AgentView> = {}): World {
  const tables = createTables()
  const writer = new Writer(tables, new SyncGates())
  const noProblems = (): readonly Problem[] => []
  const view: AgentView = {
    version: '0.1.0',
    cluster: { name: 'west', id: 1 },
    node: { name: 'west-worker', address: '172.18.0.6', podCidrs: ['10.0.1.0/24'] },
    config: [
      { key: 'clusterName', value: 'west', source: 'flag --cluster-name' },
      { key: 'algorithm', value: 'maglev', source: 'file /etc/weft/agent.yaml' },
      { key: 'devices', value: [], source: 'default' },
    ],
    startedAt: STARTED,
    now: () => STARTED + 3_723_000,
    tables,
    ownIdentities: () => [],
    identityOf: (pod) => tables.ips.get(`west/${formatAddress(pod.address ?? ANY_ADDRESS)}/32`)?.identity ?? 5,
    frontends: () => rows,
    frontendsOf: (name) => rows.filter((candidate) => candidate.frontend.service === name),
    problems: noProblems,
    problemsOf: noProblems,
    waitingFor: () => [],
    targets: () => [
      { name: 'services', desired: 2, actual: 2, pending: 0, failing: 0, drift: 0, audits: 0 },
      { name: 'ipcache', desired: 6, actual: 6, pending: 0, failing: 0, drift: 1, audits: 0 },
    ],
    datapath: () => ({
      programs: [{ name: 'weft_connect4', attachedTo: 'cgroup /sys/fs/cgroup', id: 41 }],
      devices: [{ name: 'eth0', mtu: 1500, addresses: ['172.18.0.6'], xdp: 'disabled' }],
      maps: [
        { name: 'w_svc4_v1', entries: 2, maxEntries: 65536 },
        { name: 'w_ipc_v1', entries: 6, maxEntries: 8 },
      ],
      loadBalancer: {
        mode: 'snat',
        dsrDispatch: 'geneve',
        algorithm: 'maglev',
        maglevTableSize: 16381,
        sessionAffinity: true,
        acceleration: 'disabled',
      },
    }),
    ...fields,
  }
  return { tables, writer, view }
}

/** What the guide shows of east before any service is shared: 2 nodes, 4 endpoints, 3 identities. */
export function addEast(writer: Writer, fields: Partial<Cluster> = {}): void {
  writer.upsertCluster(cluster(fields))
  for (const [name, address] of [
    ['east-control-plane', '172.18.0.4'],
    ['east-worker', '172.18.0.3'],
  ] as const) {
    writer.upsertNode({
      key: `east/${name}`,
      cluster: 'east',
      name,
      address: ip(address),
      addresses: [{ type: 'InternalIP', address: ip(address) }],
      podCidrs: [{ address: ip(name === 'east-worker' ? '10.1.1.0' : '10.1.0.0'), bits: 24 }],
      labels: {},
      zone: undefined,
      origin: 'mesh/east',
    })
  }
  for (const address of ['10.1.0.190', '10.1.1.41', '10.1.0.128', '10.1.0.206']) {
    writer.upsertIp({
      key: `east/${address}/32`,
      cluster: 'east',
      prefix: { address: ip(address), bits: 32 },
      identity: 137204,
      hostAddress: ip('172.18.0.3'),
      namespace: 'default',
      podName: undefined,
    })
  }
  for (const id of [137204, 137205, 137206]) {
    writer.upsertIdentity({
      id,
      cluster: 'east',
      labels: [`k8s:app=app-${id}`, 'k8s:io.cilium.k8s.policy.cluster=east'],
    })
  }
}

/** east exports two backends of `default/webpod`. */
export function addEastWebpod(writer: Writer): void {
  const ports = [{ name: '', protocol: 6 as const, port: 80 }]
  writer.upsertBackends({
    key: 'east/default/webpod',
    service: WEBPOD,
    cluster: 'east',
    endpoints: ['10.1.0.190', '10.1.1.41'].map((address) => ({
      address: ip(address),
      ports,
      condition: 'ready' as const,
      nodeName: undefined,
      zone: undefined,
      weight: 100,
    })),
    origin: 'mesh/east',
  })
}
