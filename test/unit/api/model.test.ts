import { describe, expect, it } from 'vitest'
import { explainReport } from '../../../agent/api/explain.ts'
import { endpointReports, identityReports, nodeReports, statusReport } from '../../../agent/api/model.ts'
import { serviceReports } from '../../../agent/api/services.ts'
import { WeftError } from '../../../agent/lib/errors.ts'
import { serviceName } from '../../../agent/types/service.ts'
import {
  addEast,
  addEastWebpod,
  decision,
  frontend,
  ip,
  row,
  service,
  WEBPOD,
  webpodDecisions,
  world,
} from './fixture.ts'

const FULL = new WeftError('map-full', 'no room for 10.2.0.1:80/TCP in w_svc4_v1', { hint: 'raise --service-map-size' })
const FAILING = { desired: 1, actual: 0, pending: 0, failing: 1, drift: 0, audits: 0 }

describe('service reports', () => {
  it('list preferred backends first, each part by address', () => {
    const { view, writer } = world([row(frontend(webpodDecisions('remote')))])
    writer.upsertService(service())
    const [report] = [...serviceReports(view)]
    expect(
      report?.spec['backend-addresses'].map((backend) => [backend.ip, backend.preferred, backend.cluster]),
    ).toEqual([
      ['10.1.0.190', true, 'east'],
      ['10.1.1.41', true, 'east'],
      ['10.0.0.46', false, 'west'],
      ['10.0.1.219', false, 'west'],
    ])
    expect(report?.spec.flags).toEqual({
      name: 'webpod',
      namespace: 'default',
      type: 'ClusterIP',
      trafficPolicy: 'Cluster',
      cluster: 'west',
      global: true,
    })
    expect(report?.status.realized).toEqual(report?.spec)
  })

  it('leave out what is no backend of the frontend and show the state of the rest', () => {
    const { view } = world([
      row(
        frontend([
          decision('10.0.0.1', { selected: false, reason: 'not-ready' }),
          decision('10.0.0.2', { selected: false, reason: 'port-name-mismatch' }),
          decision('10.0.0.3', { selected: false, reason: 'terminating', condition: 'serving' }),
          decision('10.1.0.4', { selected: false, reason: 'cluster-unreachable' }),
          decision('10.0.0.5'),
        ]),
      ),
    ])
    const [report] = [...serviceReports(view)]
    expect(report?.spec['backend-addresses'].map((backend) => [backend.ip, backend.state])).toEqual([
      ['10.0.0.3', 'terminating'],
      ['10.0.0.5', 'active'],
      ['10.1.0.4', 'quarantined'],
    ])
  })

  it('come by id, those without one last; a refused frontend has nothing realized and says why', () => {
    const at = (address: string) => frontend([decision('10.0.0.46')], { address: ip(address) })
    const { view } = world([
      row(at('10.2.0.3'), null, { state: 'error', error: FULL, attempts: 2 }),
      row(at('10.2.0.1'), 7),
      row(at('10.2.0.2'), 3),
      row(frontend([], { address: ip('10.2.0.9'), type: 'Wildcard' }), 9),
    ])
    const reports = [...serviceReports(view)]
    expect(reports.map((report) => report.spec.id)).toEqual([3, 7, 0])
    const refused = reports[2]!
    expect(refused.status).toMatchObject({ state: 'error', error: FULL.message, realized: { 'backend-addresses': [] } })
    expect(refused.spec['backend-addresses']).toHaveLength(1)
  })

  it('take the traffic policy of the side they face', () => {
    const nodePort = frontend([], { type: 'NodePort', address: ip('172.18.0.6') })
    const { view, writer } = world([row(frontend([]), 1), row(nodePort, 2), row({ ...nodePort, scope: 'int' }, 3)])
    writer.upsertService(service({ type: 'NodePort', externalTrafficPolicy: 'Local' }))
    const reports = [...serviceReports(view)]
    expect(reports.map((report) => report.spec.flags.trafficPolicy)).toEqual(['Cluster', 'Local', 'Cluster'])
    expect(reports[2]?.spec['frontend-address'].scope).toBe('internal')
  })
})

describe('explain', () => {
  it('has every backend with its reason under every frontend', () => {
    const { view, writer } = world([row(frontend(webpodDecisions('local')))])
    writer.upsertService(service())
    expect(explainReport(view, WEBPOD)).toMatchObject({
      service: 'default/webpod',
      frontends: [
        {
          address: '10.2.47.149:80/TCP',
          state: 'done',
          backends: [
            { address: '10.0.0.46:80/TCP', cluster: 'west', selected: true, reason: 'selected' },
            { address: '10.0.1.219:80/TCP', cluster: 'west', selected: true, reason: 'selected' },
            { address: '10.1.0.190:80/TCP', cluster: 'east', selected: false, tier: 1, reason: 'affinity-hides' },
            { address: '10.1.1.41:80/TCP', cluster: 'east', selected: false, tier: 1, reason: 'affinity-hides' },
          ],
        },
      ],
      problems: [],
    })
  })

  it('shows backends of other clusters when there is no local service', () => {
    const { view, writer } = world()
    addEastWebpod(writer)
    const report = explainReport(view, WEBPOD)
    expect(report?.frontends).toHaveLength(1)
    expect(report?.frontends[0]).toMatchObject({
      address: '',
      backends: [{ cluster: 'east', reason: 'no-local-service' }, {}],
    })
  })

  it('says that a headless service has nothing to balance, and knows nothing of a service nobody has', () => {
    const { view, writer } = world()
    writer.upsertService(service({ clusterIPs: [] }))
    expect(explainReport(view, WEBPOD)?.problems.map((problem) => problem.code)).toEqual(['no-frontend'])
    expect(explainReport(view, serviceName('default', 'nothing'))).toBeUndefined()
  })

  it('joins problems of the object, of the selection and of the write, each once', () => {
    const problem = { code: 'unknown-annotation-value', message: 'affinity is "lokal"', hint: 'write local' }
    const { view, writer } = world([row(frontend([]), null, { state: 'error', error: FULL, attempts: 1 })], {
      problemsOf: () => [problem],
    })
    writer.upsertService(service({ problems: [problem] }))
    expect(explainReport(view, WEBPOD)?.problems.map((p) => [p.code, p.hint])).toEqual([
      ['unknown-annotation-value', 'write local'],
      ['map-full', 'raise --service-map-size'],
    ])
  })
})

describe('status', () => {
  it('is ok when nothing is wrong', () => {
    const { view, writer } = world([row(frontend(webpodDecisions('none')))])
    addEast(writer)
    const report = statusReport(view)
    expect(report).toMatchObject({ ok: true, problems: [], uptimeSeconds: 3723 })
    expect(report.clusterMesh).toMatchObject({
      'num-global-services': 0,
      clusters: [
        {
          name: 'east',
          ready: true,
          'num-nodes': 2,
          'num-endpoints': 4,
          'num-identities': 3,
          'num-shared-services': 0,
          config: { 'cluster-id': 2, 'service-exports': 'disabled' },
        },
      ],
    })
  })

  it('counts a service that a remote cluster shares', () => {
    const { view, writer } = world()
    addEast(writer)
    addEastWebpod(writer)
    const { clusterMesh } = statusReport(view)
    expect(clusterMesh['num-global-services']).toBe(1)
    expect(clusterMesh.clusters[0]?.['num-shared-services']).toBe(1)
  })

  it('gathers problems of every kind', () => {
    const { view, writer } = world([row(frontend([]), null, { state: 'error', error: FULL, attempts: 3 })], {
      waitingFor: () => ['local', 'mesh/east'],
      problems: () => [{ code: 'no-backends', message: 'none', hint: 'start one' }],
      targets: () => [
        // The same failure as the frontend's: told once.
        { name: 'services', ...FAILING, lastError: FULL.message },
        { name: 'routes', ...FAILING, lastError: 'no such device' },
      ],
    })
    addEast(writer, { state: 'syncing', synced: { nodes: true, services: false, endpoints: false, identities: true } })
    writer.setProblems('bad.yaml', [{ code: 'manifest-refused', message: 'bad.yaml:3: port 0', hint: 'use 1..65535' }])
    const report = statusReport(view)
    expect(report.ok).toBe(false)
    expect(report.problems.map((problem) => problem.code)).toEqual([
      'source-not-synced',
      'cluster-not-synced',
      'map-full',
      'target-failing',
      'manifest-refused',
      'no-backends',
    ])
    expect(report.problems[1]?.message).toBe('cluster east: synchronization in progress for endpoints, services')
    expect(report.problems.every((problem) => problem.hint !== '')).toBe(true)
  })

  it('does not drown in failing frontends', () => {
    const rows = Array.from({ length: 100 }, (_, i) =>
      row(frontend([], { id: `10.2.0.${i}:80/TCP` }), null, { state: 'error', error: FULL, attempts: 1 }),
    )
    const { problems } = statusReport(world(rows).view)
    expect(problems).toHaveLength(21)
    expect(problems[20]?.message).toBe('80 more frontends are not in the datapath')
  })

  it.each([
    [
      { state: 'disconnected', etcdClusterId: undefined, config: undefined },
      'cluster-not-connected',
      'Waiting for initial connection to be established',
    ],
    [
      { state: 'connecting', failures: 3, message: 'connect ECONNREFUSED 172.18.0.4:32379' },
      'cluster-not-connected',
      'Err: connect ECONNREFUSED 172.18.0.4:32379, ID: c6ba18866da7dfd8',
    ],
    [
      { unreachable: true, failures: 1 },
      'cluster-unreachable',
      'Err: not able to connect to any etcd endpoints, ID: c6ba18866da7dfd8',
    ],
  ] as const)('tells a cluster that is %o', (fields, code, status) => {
    const { view, writer } = world()
    addEast(writer, fields)
    const report = statusReport(view)
    expect(report.problems.map((problem) => problem.code)).toEqual([code])
    expect(report.clusterMesh.clusters[0]).toMatchObject({ ready: false, connected: false, status })
  })
})

describe('lists', () => {
  it('name nodes by where they are from', () => {
    const { view, writer } = world()
    addEast(writer)
    for (const name of ['west-worker', 'west-control-plane']) {
      writer.upsertNode({
        key: `west/${name}`,
        cluster: 'west',
        name,
        address: ip('172.18.0.2'),
        addresses: [],
        podCidrs: [],
        labels: {},
        zone: 'a',
        origin: 'nodes.yaml:1',
      })
    }
    expect(nodeReports(view).map((node) => [node.name, node.source])).toEqual([
      ['east/east-control-plane', 'clustermesh'],
      ['east/east-worker', 'clustermesh'],
      ['west/west-control-plane', 'cluster'],
      ['west/west-worker', 'local'],
    ])
  })

  it('have the reserved identities before the allocated ones', () => {
    const { view, writer } = world()
    addEast(writer)
    const reports = identityReports(view)
    expect(reports.find((report) => report.id === 6)?.labels).toEqual(['reserved:remote-node'])
    expect(reports.map((report) => report.id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 137204, 137205, 137206])
  })

  it('have the pods of this node with their identity', () => {
    const { view, writer } = world()
    const pod = {
      key: 'default/curl-pod',
      namespace: 'default',
      name: 'curl-pod',
      address: ip('10.0.0.144'),
      nodeName: 'west-worker',
      hostNetwork: false,
      labels: { app: 'curl' },
      serviceAccount: 'default',
      ready: true,
      terminating: false,
      namedPorts: [],
      hostPorts: [],
      origin: 'pods.yaml:1',
    }
    writer.upsertPod(pod)
    writer.upsertPod({ ...pod, key: 'default/elsewhere', nodeName: 'west-control-plane' })
    writer.upsertPod({ ...pod, key: 'default/host', hostNetwork: true })
    writer.upsertPod({ ...pod, key: 'default/new', address: undefined, ready: false })
    writer.upsertIp({
      key: 'west/10.0.0.144/32',
      cluster: 'west',
      prefix: { address: ip('10.0.0.144'), bits: 32 },
      identity: 72110,
      hostAddress: undefined,
      namespace: 'default',
      podName: 'curl-pod',
    })
    writer.upsertIdentity({
      id: 72110,
      cluster: 'west',
      labels: ['k8s:app=curl', 'k8s:io.kubernetes.pod.namespace=default'],
    })
    expect(endpointReports(view)).toEqual([
      {
        name: 'default/curl-pod',
        address: '10.0.0.144',
        identity: 72110,
        labels: ['k8s:app=curl', 'k8s:io.kubernetes.pod.namespace=default'],
        state: 'ready',
      },
      { name: 'default/new', address: '', identity: 5, labels: ['k8s:app=curl'], state: 'waiting-for-address' },
    ])
  })
})
