import { describe, expect, test } from 'vitest'
import { topologyFor } from '../../lab/topology.ts'
import type { ServiceState, WriterState } from '../../chaos/objects.ts'
import { truthOf } from '../../chaos/truth.ts'

const { clusters } = topologyFor({ clusters: 3 })
const [west, east, north] = clusters
const BASE: ServiceState = { exists: true, affinity: 'none', shared: true, endpoints: [[0, 'ready']] }

/** What west's first node has for a service of which the clusters have these. */
function inWest(...services: ServiceState[]): string | undefined {
  const writers = clusters.map((cluster, i): WriterState => ({
    ...{ cluster, group: 0, pods: [] },
    services: [services[i] ?? { ...BASE, exists: false }],
  }))
  const truth = truthOf(west!.nodes[0]!, clusters, writers, [])
  return truth.frontends
    .get('10.2.100.0:53/UDP')
    ?.map((backend) => backend.replace(':5353/UDP', ''))
    .join(' ')
}

describe('the truth about a service', () => {
  test('takes the backends of all clusters that share', () => {
    expect(inWest(BASE, BASE, { ...BASE, shared: false })).toBe('10.0.128.0 10.1.128.0')
    expect(inWest({ ...BASE, shared: false }, BASE)).toBe('10.0.128.0 10.1.128.0')
    expect(inWest({ ...BASE, exists: false }, BASE)).toBeUndefined()
  })

  test('takes the preferred side while one there is ready', () => {
    expect(inWest({ ...BASE, affinity: 'local' }, BASE)).toBe('10.0.128.0')
    expect(inWest({ ...BASE, affinity: 'remote' }, BASE, BASE)).toBe('10.1.128.0 10.4.128.0')
    expect(inWest({ ...BASE, affinity: 'local', endpoints: [[1, 'serving']] }, BASE)).toBe('10.1.128.0')
  })

  test('takes what still serves when nothing is ready, and never what is not', () => {
    expect(inWest({ ...BASE, endpoints: [[1, 'serving'], [2, 'not-ready']] })).toBe('10.0.128.1') // prettier-ignore
    expect(inWest({ ...BASE, endpoints: [[2, 'not-ready']] })).toBe('')
  })
})

test('the truth about pods names their node', () => {
  const writers: WriterState[] = [{ cluster: north!, group: 1, services: [], pods: [3, undefined] }]
  const { pods } = truthOf(east!.nodes[0]!, clusters, writers, [])
  expect([...pods.keys()]).toEqual(['10.4.64.163/32'])
  expect(pods.get('10.4.64.163/32')).toMatchObject({ clusterId: 3, tunnelEndpoint: '172.18.0.203' })
})
