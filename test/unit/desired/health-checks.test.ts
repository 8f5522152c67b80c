import { expect, test } from 'vitest'
import { desiredFrontends } from '../../../agent/desired/frontends.ts'
import { desiredHealthCheck } from '../../../agent/desired/health-checks.ts'
import type { Service } from '../../../agent/types/service.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import type { World } from './fixture.ts'
import { HTTP, HTTP_PORTS, WEBPOD, backendSet, endpoint, ip, service, world } from './fixture.ts'

const HERE = { nodeName: 'west-worker' }
const ASKED: Partial<Service> = {
  type: 'LoadBalancer',
  externalTrafficPolicy: 'Local',
  healthCheckNodePort: 32100,
  loadBalancerIPs: [ip('172.16.1.1')],
}

function given(fields: Partial<Service>): World {
  const made = world()
  made.writer.upsertService(service({ ...ASKED, ...fields }))
  return made
}

test('ready backends on this node are counted, once for each address, and those of no other cluster', () => {
  const admin = { name: 'admin', protocol: 6, port: 9090 } as const
  const made = given({ ports: [HTTP, { ...HTTP, name: 'admin', port: 81 }] })
  const both = { ...HERE, ports: [...HTTP_PORTS, admin] }
  made.writer.upsertBackends(
    backendSet('west', [
      endpoint('10.0.1.46', 'ready', both),
      endpoint('10.0.1.47', 'ready', HERE),
      endpoint('10.0.1.48', 'serving', HERE),
      endpoint('10.0.1.49', 'not-ready', HERE),
      endpoint('10.0.0.46', 'ready', { nodeName: 'west-control-plane' }),
      endpoint('10.0.0.47'),
    ]),
  )
  // Remote clusters do not say nodes; one that has a node of our name is not ours all the same.
  made.writer.upsertBackends(backendSet('east', [endpoint('10.1.0.190'), endpoint('10.1.0.191', 'ready', HERE)]))
  expect(desiredHealthCheck(made.snap, WEBPOD)).toEqual({
    service: { namespace: 'default', name: 'webpod' },
    host: '0.0.0.0',
    port: 32100,
    localEndpoints: 2,
  })
})

test('a backend that drains takes connections, and is none for those who ask', () => {
  const made = given({})
  made.writer.upsertBackends(backendSet('west', [endpoint('10.0.1.48', 'serving', HERE)]))
  expect(desiredFrontends(made.snap, WEBPOD).frontends[0]!.group.count).toBe(1)
  expect(desiredHealthCheck(made.snap, WEBPOD)?.localEndpoints).toBe(0)
})

test.each([
  ['policy Cluster', { externalTrafficPolicy: 'Cluster' as const }],
  ['a NodePort service', { type: 'NodePort' as const }],
  ['no port', { healthCheckNodePort: undefined }],
])('nobody asks: %s', (_, fields) => {
  const { snap } = given(fields)
  expect(desiredHealthCheck(snap, WEBPOD)).toBeUndefined()
  expect(desiredFrontends(snap, WEBPOD).frontends.map(({ port }) => port)).not.toContain(32100)
})

test("the service's address passes the question on to the node itself", () => {
  const { frontends } = desiredFrontends(given({}).snap, WEBPOD)
  const asked = frontends.filter(({ port }) => port === 32100)
  expect(asked.map(({ id }) => id)).toEqual(['172.16.1.1:32100/TCP'])
  expect(asked[0]!.group.slots.map(({ address, port }) => `${formatAddress(address)}:${port}`)).toEqual([
    '172.18.0.3:32100',
  ])
  const own = given({ loadBalancerIPs: [ip('172.18.0.3')] })
  expect(desiredFrontends(own.snap, WEBPOD).frontends.map(({ port }) => port)).not.toContain(32100)
})
