import { describe, expect, it } from 'vitest'
import { explainReport } from '../../../agent/api/explain.ts'
import { WeftError } from '../../../agent/lib/errors.ts'
import { serviceName } from '../../../agent/types/service.ts'
import { addEastWebpod, frontend, row, service, WEBPOD, webpodDecisions, world } from './fixture.ts'

const FULL = new WeftError('map-full', 'no room for 10.2.0.1:80/TCP in w_svc4_v1', { hint: 'raise --service-map-size' })

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
