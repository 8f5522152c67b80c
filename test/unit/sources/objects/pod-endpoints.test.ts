import type { V1Pod, V1Service } from '@kubernetes/client-node'
import { describe, expect, it } from 'vitest'
import { backendsFromPods, PodIndex } from '../../../../agent/sources/objects/pod-endpoints.ts'
import { podFromObject } from '../../../../agent/sources/objects/pod.ts'
import { serviceFromObject } from '../../../../agent/sources/objects/service.ts'
import type { BackendSet } from '../../../../agent/types/backend.ts'
import { formatAddress } from '../../../../agent/types/address.ts'
import type { Pod } from '../../../../agent/types/node.ts'
import { faultsOf, rowOf } from './outcome.ts'

const context = { cluster: 'west', origin: 'a.yaml:1' }

interface PodParts {
  readonly metadata?: object
  readonly spec?: object
  readonly status?: object
}

function convert(name: string, parts: PodParts): ReturnType<typeof podFromObject> {
  const object = {
    metadata: { name, labels: { app: 'web' }, ...parts.metadata },
    spec: { nodeName: 'west-worker', ...parts.spec },
    status: { podIP: '10.0.0.5', phase: 'Running', ...parts.status },
  }
  return podFromObject(object as unknown as V1Pod, context)
}

function pod(name: string, parts: PodParts = {}): Pod {
  return rowOf(convert(name, parts))
}

function endpoints(pods: Pod[], spec: object = {}): BackendSet {
  const object = {
    metadata: { name: 'webpod' },
    spec: { clusterIP: '10.2.0.1', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }], ...spec },
  }
  const service = rowOf(serviceFromObject(object as unknown as V1Service, context))
  return backendsFromPods(service, new PodIndex(pods), 'west', (node) => (node === 'west-worker' ? 'a' : undefined))
}

describe('podFromObject', () => {
  it('reads what services need of a pod', () => {
    const row = pod('a', {
      metadata: { namespace: 'shop' },
      spec: {
        serviceAccountName: 'web',
        hostNetwork: true,
        containers: [{ ports: [{ name: 'http', containerPort: 8080 }, { containerPort: 9 }] }],
        initContainers: [
          { restartPolicy: 'Always', ports: [{ name: 'dns', containerPort: 53, protocol: 'UDP' }] },
          { ports: [{ name: 'once', containerPort: 1 }] },
        ],
      },
    })
    expect(row).toEqual({
      key: 'shop/a',
      namespace: 'shop',
      name: 'a',
      address: 0x0a000005,
      nodeName: 'west-worker',
      hostNetwork: true,
      labels: { app: 'web' },
      serviceAccount: 'web',
      ready: true,
      terminating: false,
      namedPorts: [
        { name: 'http', protocol: 6, port: 8080 },
        { name: 'dns', protocol: 17, port: 53 },
      ],
      hostPorts: [],
      origin: 'a.yaml:1',
    })
  })

  const ready = (status: string): object => ({
    conditions: [
      { type: 'Initialized', status: 'True' },
      { type: 'Ready', status },
    ],
  })
  it.each<[object, boolean]>([
    [{}, true],
    [{ phase: undefined }, true],
    [ready('True'), true],
    [ready('False'), false],
    [ready('Unknown'), false],
    [{ phase: 'Pending' }, false],
    [{ podIP: undefined }, false],
    [{ phase: 'Failed', ...ready('True') }, false],
  ])('status %j: ready %s', (status, expected) => {
    expect(pod('a', { status }).ready).toBe(expected)
  })

  it.each(['Succeeded', 'Failed'])('has no address once it %s', (phase) => {
    expect(pod('a', { status: { phase } }).address).toBeUndefined()
  })

  it('finds the IPv4 address among several', () => {
    const status = { podIP: 'fd00::5', podIPs: [{ ip: 'fd00::5' }, { ip: '10.0.0.6' }] }
    expect(pod('a', { status }).address).toBe(0x0a000006)
  })

  it('refuses what is no address or port', () => {
    expect(faultsOf(convert('a', { status: { podIP: '10.0.0' } }))).toEqual([
      'status.podIP: "10.0.0" is not an address',
    ])
    const spec = { containers: [{ ports: [{ containerPort: 70000 }] }] }
    expect(faultsOf(convert('a', { spec }))).toEqual([
      'spec.containers[0].ports[0].containerPort: 70000 is not a port (1-65535)',
    ])
  })
})

describe('backendsFromPods', () => {
  it('takes the pods of the namespace that carry all labels, in order of address', () => {
    const set = endpoints(
      [
        pod('b', { status: { podIP: '10.0.0.9' } }),
        pod('a', { status: { podIP: '10.0.0.5' }, spec: { nodeName: 'other' } }),
        pod('elsewhere', { metadata: { namespace: 'shop' } }),
        pod('half', { metadata: { labels: { tier: 'front' } } }),
        pod('pending', { status: { podIP: undefined, phase: 'Pending' } }),
      ],
      {},
    )
    expect(set).toMatchObject({ key: 'west/default/webpod/pods', service: 'default/webpod', cluster: 'west' })
    expect(set.endpoints.map((e) => [formatAddress(e.address), e.nodeName, e.zone])).toEqual([
      ['10.0.0.5', 'other', undefined],
      ['10.0.0.9', 'west-worker', 'a'],
    ])
    expect(set.endpoints[0]?.ports).toEqual([{ name: '', protocol: 6, port: 8080 }])
    expect(set.endpoints[0]?.ports).toBe(set.endpoints[1]?.ports)
  })

  it('does not take an empty selector for every pod', () => {
    expect(endpoints([pod('a')], { selector: {} }).endpoints).toEqual([])
  })

  it.each<[PodParts, string | undefined]>([
    [{}, 'ready'],
    [{ status: { conditions: [{ type: 'Ready', status: 'False' }] } }, 'not-ready'],
    [{ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }, 'serving'],
    [
      {
        metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' },
        status: { conditions: [{ type: 'Ready', status: 'False' }] },
      },
      undefined,
    ],
  ])('%j is %s', (parts, condition) => {
    expect(endpoints([pod('a', parts)]).endpoints[0]?.condition).toBe(condition)
  })

  it('asks each pod for the number behind a named target port', () => {
    const withPort = (name: string, ip: string, ports: object[]): Pod =>
      pod(name, { status: { podIP: ip }, spec: { containers: [{ ports }] } })
    const set = endpoints(
      [
        withPort('a', '10.0.0.1', [{ name: 'web', containerPort: 8080 }]),
        withPort('b', '10.0.0.2', [{ name: 'web', containerPort: 9090 }]),
        withPort('c', '10.0.0.3', [{ name: 'web', containerPort: 53, protocol: 'UDP' }]),
        withPort('d', '10.0.0.4', []),
      ],
      { ports: [{ name: 'http', port: 80, targetPort: 'web' }] },
    )
    expect(set.endpoints.map((e) => [formatAddress(e.address), e.ports])).toEqual([
      ['10.0.0.1', [{ name: 'http', protocol: 6, port: 8080 }]],
      ['10.0.0.2', [{ name: 'http', protocol: 6, port: 9090 }]],
    ])
  })
})
