import { describe, expect, it } from 'vitest'
import { backendsFromEndpointSlice } from '../../../../agent/sources/objects/endpoint-slice.ts'
import { faultsOf, rowOf } from './outcome.ts'

const context = { cluster: 'west', origin: 'a.yaml:1' }

function convert(parts: object = {}): ReturnType<typeof backendsFromEndpointSlice> {
  const object = {
    metadata: { name: 'webpod-abc', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'webpod' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [{ addresses: ['10.0.0.5'] }],
    ...parts,
  }
  return backendsFromEndpointSlice(object, context)
}

describe('backendsFromEndpointSlice', () => {
  it('turns a slice into a set of backends that share their ports', () => {
    const set = rowOf(
      convert({
        ports: [{ name: 'http', port: 8080 }, { port: 53, protocol: 'UDP' }, { name: 'any' }],
        endpoints: [
          { addresses: ['10.0.0.5'], nodeName: 'west-worker', zone: 'a', conditions: { ready: true } },
          { addresses: ['10.0.0.6'] },
        ],
      }),
    )
    expect(set).toMatchObject({
      key: 'west/shop/webpod/webpod-abc',
      service: 'shop/webpod',
      cluster: 'west',
      origin: 'a.yaml:1',
    })
    expect(set.endpoints).toEqual([
      {
        address: 0x0a000005,
        ports: [
          { name: 'http', protocol: 6, port: 8080 },
          { name: '', protocol: 17, port: 53 },
        ],
        condition: 'ready',
        nodeName: 'west-worker',
        zone: 'a',
        weight: 100,
      },
      expect.objectContaining({ address: 0x0a000006, nodeName: undefined, zone: undefined }),
    ])
    expect(set.endpoints[0]?.ports).toBe(set.endpoints[1]?.ports)
  })

  it.each([
    [undefined, 'ready'],
    [null, 'ready'],
    [{}, 'ready'],
    [{ ready: true }, 'ready'],
    [{ ready: null }, 'ready'],
    [{ ready: true, terminating: true }, 'ready'],
    [{ ready: false }, 'not-ready'],
    [{ ready: false, serving: true }, 'not-ready'],
    [{ ready: false, serving: true, terminating: true }, 'serving'],
    [{ ready: false, serving: false, terminating: true }, 'not-ready'],
    [{ ready: false, terminating: true }, 'not-ready'],
  ])('conditions %j are %s', (conditions, expected) => {
    const set = rowOf(convert({ endpoints: [{ addresses: ['10.0.0.5'], conditions }] }))
    expect(set.endpoints[0]?.condition).toBe(expected)
  })

  it.each([{ endpoints: null }, { endpoints: [] }, { endpoints: undefined }])('has no endpoint with %j', (parts) => {
    expect(rowOf(convert(parts)).endpoints).toEqual([])
  })

  it('passes over other address families and mirrors of other clusters', () => {
    expect(convert({ addressType: 'IPv6', endpoints: [{ addresses: ['fd00::1'] }] })).toHaveProperty('skipped')
    expect(convert({ addressType: 'FQDN', endpoints: [{ addresses: ['a.example'] }] })).toHaveProperty('skipped')
    const labels = {
      'kubernetes.io/service-name': 'webpod',
      'endpointslice.kubernetes.io/managed-by': 'endpointslice-mesh-controller.cilium.io',
    }
    expect(convert({ metadata: { name: 'x', labels } })).toHaveProperty('skipped')
  })

  it.each([
    [{ metadata: { name: 'x' } }, 'metadata.labels["kubernetes.io/service-name"]: is missing'],
    [{ addressType: undefined }, 'addressType: is missing'],
    [{ addressType: 'ipv4' }, 'addressType: "ipv4" is not an address type'],
    [{ ports: [{ port: 70000 }] }, 'ports[0].port: 70000 is not a port (1-65535)'],
    [{ ports: [{ port: 0 }] }, 'ports[0].port: 0 is not a port (1-65535)'],
    [{ ports: [{ port: 80 }, { port: 81 }] }, 'ports[1].name: "" is used twice'],
    [{ endpoints: [{ addresses: ['10.0.0.300'] }] }, 'endpoints[0].addresses[0]: "10.0.0.300" is not an address'],
    [{ endpoints: [{ addresses: ['fd00::1'] }] }, 'endpoints[0].addresses[0]: "fd00::1" is not an IPv4 address'],
    [{ endpoints: [{}] }, 'endpoints[0].addresses: is missing'],
    [{ endpoints: [null] }, 'endpoints[0].addresses: is missing'],
    [{ endpoints: ['10.0.0.5'] }, 'endpoints[0]: "10.0.0.5" is not a mapping'],
    [
      { endpoints: [{ addresses: ['10.0.0.5'], conditions: { ready: 'yes' } }] },
      'endpoints[0].conditions.ready: "yes"',
    ],
  ])('refuses %j', (parts, message) => {
    expect(faultsOf(convert(parts))).toContainEqual(expect.stringContaining(message))
  })
})
