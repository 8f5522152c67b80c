import type { V1Service } from '@kubernetes/client-node'
import { describe, expect, it } from 'vitest'
import { serviceFromObject } from '../../../../agent/sources/objects/service.ts'
import type { Service } from '../../../../agent/types/service.ts'
import { formatAddress, formatCidr } from '../../../../agent/types/address.ts'
import { faultsOf, rowOf } from './outcome.ts'

const context = { cluster: 'west', origin: 'a.yaml:1' }

interface Parts {
  readonly metadata?: object
  readonly spec?: object
  readonly status?: object
}

function convert(parts: Parts = {}): ReturnType<typeof serviceFromObject> {
  const object = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'webpod', ...parts.metadata },
    spec: { clusterIP: '10.2.0.7', ports: [{ port: 80 }], ...parts.spec },
    ...(parts.status === undefined ? {} : { status: parts.status }),
  }
  return serviceFromObject(object, context)
}

function row(parts: Parts = {}): Service {
  return rowOf(convert(parts))
}

describe('serviceFromObject', () => {
  it('fills in what Kubernetes fills in', () => {
    expect(row()).toEqual({
      name: 'default/webpod',
      type: 'ClusterIP',
      clusterIPs: [0x0a020007],
      externalIPs: [],
      loadBalancerIPs: [],
      ports: [{ name: '', protocol: 6, port: 80, targetPort: 80, nodePort: undefined }],
      selector: {},
      labels: {},
      mesh: { global: false, shared: true, affinity: 'none' },
      externalTrafficPolicy: 'Cluster',
      internalTrafficPolicy: 'Cluster',
      sessionAffinitySeconds: 0,
      sourceRanges: [],
      sourceRangePolicy: 'allow',
      healthCheckNodePort: undefined,
      algorithm: undefined,
      forwarding: undefined,
      problems: [],
      origin: 'a.yaml:1',
    })
  })

  it('reads everything a load balancer service can say', () => {
    const service = row({
      metadata: { namespace: 'shop', labels: { team: 'web' } },
      spec: {
        type: 'LoadBalancer',
        clusterIPs: ['10.2.0.7', 'fd00::7'],
        externalIPs: ['192.0.2.1', '192.0.2.1'],
        selector: { app: 'web' },
        ports: [
          { name: 'http', port: 80, targetPort: 'web', nodePort: 30080 },
          { name: 'dns', port: 53, protocol: 'UDP', targetPort: 5353, nodePort: 0 },
        ],
        externalTrafficPolicy: 'Local',
        internalTrafficPolicy: 'Local',
        sessionAffinity: 'ClientIP',
        healthCheckNodePort: 31000,
        loadBalancerSourceRanges: [' 10.0.0.0/8 ', 'fd00::/8'],
      },
      status: {
        loadBalancer: { ingress: [{ ip: '198.51.100.1' }, { hostname: 'x' }, { ip: '198.51.100.2', ipMode: 'Proxy' }] },
      },
    })
    expect(service).toMatchObject({
      name: 'shop/webpod',
      labels: { team: 'web' },
      selector: { app: 'web' },
      externalTrafficPolicy: 'Local',
      internalTrafficPolicy: 'Local',
      sessionAffinitySeconds: 10_800,
      healthCheckNodePort: 31000,
      ports: [
        { name: 'http', protocol: 6, port: 80, targetPort: 'web', nodePort: 30080 },
        { name: 'dns', protocol: 17, port: 53, targetPort: 5353, nodePort: undefined },
      ],
      problems: [],
    })
    expect(service.clusterIPs.map(formatAddress)).toEqual(['10.2.0.7'])
    expect(service.externalIPs.map(formatAddress)).toEqual(['192.0.2.1'])
    expect(service.loadBalancerIPs.map(formatAddress)).toEqual(['198.51.100.1'])
    expect(service.sourceRanges.map(formatCidr)).toEqual(['10.0.0.0/8'])
  })

  it('takes the address that was asked for while none is assigned, for load balancers only', () => {
    expect(row({ spec: { type: 'LoadBalancer', loadBalancerIP: '192.0.2.9' } }).loadBalancerIPs).toEqual([0xc0000209])
    expect(row({ spec: { type: 'NodePort', loadBalancerIP: '192.0.2.9' } }).loadBalancerIPs).toEqual([])
    const status = { loadBalancer: { ingress: [{ ip: '192.0.2.8' }] } }
    expect(row({ spec: { type: 'LoadBalancer', loadBalancerIP: '192.0.2.9' }, status }).loadBalancerIPs).toEqual([
      0xc0000208,
    ])
  })

  it('does not open a service whose source ranges are all of another family', () => {
    expect(row({ spec: { loadBalancerSourceRanges: ['fd00::/8'] } }).sourceRanges.map(formatCidr)).toEqual([
      '0.0.0.0/32',
    ])
  })

  it('keeps each source range once, in order', () => {
    const spec = { loadBalancerSourceRanges: ['192.0.2.0/24', '10.1.2.3/8', '10.0.0.0/8', '10.0.0.0/16'] }
    expect(row({ spec }).sourceRanges.map(formatCidr)).toEqual(['10.0.0.0/8', '10.0.0.0/16', '192.0.2.0/24'])
  })

  it('takes source ranges for those of clients to be kept out where an annotation says so', () => {
    const named = (value: unknown): Service =>
      row({
        metadata: { annotations: { 'service.cilium.io/src-ranges-policy': value } },
        spec: { loadBalancerSourceRanges: ['10.0.0.0/8'] },
      })
    expect(named('deny')).toMatchObject({ sourceRangePolicy: 'deny', problems: [] })
    expect(named('Deny')).toMatchObject({ sourceRangePolicy: 'deny' })
    expect(named('allow')).toMatchObject({ sourceRangePolicy: 'allow', problems: [] })
    expect(named('block')).toMatchObject({
      sourceRangePolicy: 'allow',
      problems: [{ code: 'unknown-annotation-value', hint: 'Accepted values: allow, deny.' }],
    })
  })

  it('gives headless and ExternalName services no address', () => {
    expect(row({ spec: { clusterIP: 'None', ports: undefined } })).toMatchObject({
      clusterIPs: [],
      ports: [],
      problems: [],
    })
    const external = { type: 'ExternalName', externalName: 'example.org', clusterIP: undefined, ports: undefined }
    expect(row({ spec: external })).toMatchObject({ type: 'ExternalName', clusterIPs: [], ports: [], problems: [] })
  })

  it.each([
    ['true', true],
    ['True', true],
    ['TRUE', true],
    ['false', false],
    ['fAlse', false],
  ])('reads global: %j', (value, global) => {
    const metadata = { annotations: { 'service.cilium.io/global': value } }
    expect(row({ metadata })).toMatchObject({ mesh: { global }, problems: [] })
    expect(row({ metadata: { annotations: { 'io.cilium/global-service': value } } }).mesh.global).toBe(global)
  })

  it.each([
    ['local', 'local'],
    ['remote', 'remote'],
    ['none', 'none'],
    ['default', 'none'],
    ['Local', 'local'],
  ])('reads affinity: %j', (value, affinity) => {
    expect(row({ metadata: { annotations: { 'service.cilium.io/affinity': value } } })).toMatchObject({
      mesh: { affinity },
      problems: [],
    })
    expect(row({ metadata: { annotations: { 'io.cilium/service-affinity': value } } }).mesh.affinity).toBe(affinity)
  })

  it('lets the new spelling win over the alias, even when it is not understood', () => {
    const annotations = {
      'service.cilium.io/shared': 'false',
      'io.cilium/shared-service': 'true',
      'service.cilium.io/affinity': 'near',
      'io.cilium/service-affinity': 'local',
    }
    expect(row({ metadata: { annotations } }).mesh).toEqual({ global: false, shared: false, affinity: 'none' })
  })

  it.each([
    ['service.cilium.io/global', 'yes', 'true, false'],
    ['service.cilium.io/shared', '', 'true, false'],
    ['io.cilium/service-affinity', 'nearby', 'local, remote, none, default'],
    ['service.cilium.io/lb-algorithm', 'least-conn', 'random, maglev'],
    ['service.cilium.io/forwarding-mode', 'hybrid', 'snat, dsr'],
  ])('takes the default for %s: %j and says so', (key, value, accepted) => {
    const service = row({ metadata: { annotations: { [key]: value } } })
    expect(service.mesh).toEqual({ global: false, shared: true, affinity: 'none' })
    expect(service.algorithm).toBeUndefined()
    expect(service.forwarding).toBeUndefined()
    expect(service.problems).toEqual([
      {
        code: 'unknown-annotation-value',
        message: expect.stringContaining(
          `Service default/webpod (a.yaml:1): annotation ${key} is "${value}"`,
        ) as string,
        hint: `Accepted values: ${accepted}.`,
      },
    ])
  })

  it('understands an annotation without quotes and says that Kubernetes would not', () => {
    const service = row({ metadata: { annotations: { 'service.cilium.io/global': true } } })
    expect(service.mesh.global).toBe(true)
    expect(service.problems).toMatchObject([{ code: 'annotation-not-a-string' }])
  })

  it('reads the forwarding mode of a service', () => {
    const annotations = { 'service.cilium.io/forwarding-mode': 'DSR' }
    expect(row({ metadata: { annotations } }).forwarding).toBe('dsr')
  })

  it('reads the algorithm of a service', () => {
    expect(row({ metadata: { annotations: { 'service.cilium.io/lb-algorithm': 'maglev' } } }).algorithm).toBe('maglev')
  })

  it.each([
    [{ type: 'Nodeport' }, 'unknown-value', 'ClusterIP is used'],
    [{ externalTrafficPolicy: 'local' }, 'unknown-value', 'Cluster is used'],
    [{ sessionAffinity: 'Cookie' }, 'unknown-value', 'None is used'],
    [{ clusterIP: undefined }, 'no-cluster-ip', 'spec.clusterIP is not set'],
    [{ type: 'NodePort' }, 'no-node-port', 'has no nodePort'],
  ])('keeps %j and complains', (spec, code, message) => {
    expect(row({ spec }).problems).toMatchObject([{ code, message: expect.stringContaining(message) as string }])
  })

  it.each<[Parts, string]>([
    [{ spec: { ports: [{ port: 0 }] } }, 'spec.ports[0].port: 0 is not a port (1-65535)'],
    [{ spec: { ports: [{ port: 70000 }] } }, 'spec.ports[0].port: 70000 is not a port (1-65535)'],
    [{ spec: { ports: [{ port: 80.5 }] } }, 'spec.ports[0].port: 80.5 is not a port (1-65535)'],
    [{ spec: { ports: [{ port: '80' }] } }, 'spec.ports[0].port: "80" is not a port (1-65535)'],
    [{ spec: { ports: [{}] } }, 'spec.ports[0].port: is missing'],
    [{ spec: { ports: [] } }, 'spec.ports: has no port'],
    [{ spec: { ports: 'http' } }, 'spec.ports: "http" is not a list'],
    [{ spec: { ports: [null] } }, 'spec.ports[0].port: is missing'],
    [{ spec: { ports: [80] } }, 'spec.ports[0]: 80 is not a mapping'],
    [{ spec: { ports: [{ port: 80, nodePort: 70000 }] } }, 'spec.ports[0].nodePort: 70000 is not a port (1-65535)'],
    [
      { spec: { ports: [{ port: 80, targetPort: 'not a name' }] } },
      'spec.ports[0].targetPort: "not a name" is neither',
    ],
    [{ spec: { ports: [{ port: 80, protocol: 'HTTP' }] } }, 'spec.ports[0].protocol: "HTTP" is not a protocol'],
    [{ spec: { ports: [{ name: 'a', port: 80 }, { port: 81 }] } }, 'spec.ports[1].name: is missing'],
    [
      {
        spec: {
          ports: [
            { name: 'a', port: 80 },
            { name: 'a', port: 81 },
          ],
        },
      },
      'spec.ports[1].name: "a" is used twice',
    ],
    [
      {
        spec: {
          ports: [
            { name: 'a', port: 80 },
            { name: 'b', port: 80 },
          ],
        },
      },
      'spec.ports[1].port: 80/TCP is there twice',
    ],
    [{ spec: { clusterIP: '10.2.0.256' } }, 'spec.clusterIP: "10.2.0.256" is not an address'],
    [{ spec: { clusterIP: '010.2.0.1' } }, 'spec.clusterIP: "010.2.0.1" is not an address'],
    [{ spec: { externalIPs: ['0.0.0.0'] } }, 'spec.externalIPs[0]: "0.0.0.0" is not an address'],
    [
      { spec: { loadBalancerSourceRanges: ['10.0.0.0/33'] } },
      'spec.loadBalancerSourceRanges[0]: "10.0.0.0/33" is not a prefix',
    ],
    [{ spec: { selector: { version: 1 } } }, 'spec.selector.version: 1 is not a string'],
    [
      { spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } } },
      'timeoutSeconds: 0',
    ],
    [{ metadata: { name: undefined } }, 'metadata.name: is missing'],
    [{ metadata: { name: 'Web_pod' } }, 'metadata.name: "Web_pod" is not a valid name'],
    [{ metadata: { namespace: 'a/b' } }, 'metadata.namespace: "a/b" is not a valid name'],
    [{ metadata: { labels: { 'a.b/c': true } } }, 'metadata.labels["a.b/c"]: true is not a string'],
  ])('refuses %j', (parts, message) => {
    const faults = faultsOf(convert(parts))
    expect(faults).toHaveLength(1)
    expect(faults[0]).toContain(message)
  })

  it('names every fault of an object', () => {
    const spec = { clusterIP: 'x', ports: [{ port: 0 }, { port: 70000 }] }
    expect(faultsOf(convert({ spec }))).toHaveLength(5)
  })

  it.each([[undefined], [null], [7], ['text'], [[]], [{ spec: [] }], [{ metadata: 7, spec: 'x' }]])(
    'never throws: %j',
    (object) => {
      expect(faultsOf(serviceFromObject(object as unknown as V1Service, context)).length).toBeGreaterThan(0)
    },
  )
})
