import { describe, expect, it } from 'vitest'
import { serviceReports } from '../../../agent/api/services.ts'
import { WeftError } from '../../../agent/lib/errors.ts'
import { decision, frontend, ip, row, service, webpodDecisions, world } from './fixture.ts'

const FULL = new WeftError('map-full', 'no room for 10.2.0.1:80/TCP in w_svc4_v1', { hint: 'raise --service-map-size' })

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
