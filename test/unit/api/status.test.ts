import { describe, expect, it } from 'vitest'
import { statusReport } from '../../../agent/api/model.ts'
import { WeftError } from '../../../agent/lib/errors.ts'
import { addEast, addEastWebpod, frontend, row, webpodDecisions, world } from './fixture.ts'

const FULL = new WeftError('map-full', 'no room for 10.2.0.1:80/TCP in w_svc4_v1', { hint: 'raise --service-map-size' })
const FAILING = { desired: 1, actual: 0, pending: 0, failing: 1, drift: 0, audits: 0 }

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
