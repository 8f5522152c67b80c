import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Address } from '../../../../agent/types/address.ts'
import type { EndpointPort } from '../../../../agent/types/backend.ts'
import { formatAddress } from '../../../../agent/types/address.ts'
import { WireError } from '../../../../agent/types/wire/go-json.ts'
import { decodeService, encodeService } from '../../../../agent/types/wire/service.ts'
import { address, endpoint, labels, ports, text } from './arbitrary.ts'

describe('services', () => {
  const webpod =
    '{"cluster":"east","namespace":"default","name":"webpod",' +
    '"frontends":{"10.3.105.173":{"http":{"Protocol":"TCP","Port":80}}},' +
    '"backends":{"10.1.0.190":{"http":{"Protocol":"TCP","Port":8080}},"10.1.1.41":{"http":{"Protocol":"TCP","Port":8080}}},' +
    '"hostnames":{},"labels":{"app":"webpod"},"selector":{"app":"webpod"},"includeExternal":true,"shared":true,"clusterID":2}'

  test('are byte for byte what peers write', () => {
    expect(encodeService(decodeService(webpod))).toBe(webpod)
  })

  test('what only we say about a backend is beside what Cilium reads', () => {
    const record = decodeService(webpod)
    const [first, second] = record.backends
    if (first === undefined || second === undefined) throw new Error('two backends')
    const backends = [{ ...first, condition: 'serving', zone: 'eu-1a' } as const, { ...second, weight: 10 }]
    const json = encodeService({ ...record, backends })
    expect(json).toBe(
      webpod.replace(
        /\}$/,
        ',"weft":{"backends":{"10.1.0.190":{"condition":"serving","zone":"eu-1a"},"10.1.1.41":{"weight":10}}}}',
      ),
    )
    expect(decodeService(json).backends).toEqual(backends)
  })

  test('any record survives the way out and back', () => {
    const record = fc.record({
      cluster: text,
      clusterId: fc.integer({ min: 0, max: 0xffffffff }),
      namespace: text,
      name: text,
      frontends: fc.uniqueArray(fc.record({ address, ports }), { selector: (each) => each.address, maxLength: 3 }),
      backends: fc.uniqueArray(endpoint, { selector: (each) => each.address, maxLength: 6 }),
      labels,
      selector: labels,
      shared: fc.boolean(),
    })
    fc.assert(
      fc.property(record, (value) => {
        const json = encodeService(value)
        expect(Object.keys(JSON.parse(json) as object).slice(0, 5)).toEqual([
          'cluster',
          'namespace',
          'name',
          'frontends',
          'backends',
        ])
        const back = decodeService(json)
        const byAddress = (a: { address: Address }, b: { address: Address }): number => a.address - b.address
        const byName = (list: readonly EndpointPort[]): EndpointPort[] =>
          [...list].sort((a, b) => (a.name < b.name ? -1 : 1))
        const normal = <T extends { address: Address; ports: readonly EndpointPort[] }>(list: readonly T[]): T[] =>
          [...list].sort(byAddress).map((each) => ({ ...each, ports: byName(each.ports) }))
        expect({ ...back, frontends: normal(back.frontends), backends: normal(back.backends) }).toEqual({
          ...value,
          frontends: normal(value.frontends),
          backends: normal(value.backends),
        })
      }),
    )
  })

  test('backends with equal ports share one list', () => {
    const [first, second] = decodeService(webpod).backends
    expect(first?.ports).toBe(second?.ports)
  })

  test('what peers of other versions write is understood', () => {
    const { backends } = decodeService(
      '{"CLUSTER":"east","backends":{"10.1.0.1":{},"fd00::1":{"":{"protocol":"TCP","port":1}},"10.1.0.2":{"":{"protocol":"udp","port":53}},' +
        '"10.1.0.3":{"a":{"Protocol":"ANY","Port":1},"b":{"Protocol":"DCCP","Port":2}},"10.1.0.4":null},"frontends":null,' +
        '"zones":{"10.1.0.1":{"zone":"z","forZones":[{"name":"z"}]}},"weft":{"backends":{"10.1.0.1":{"condition":"odd","weight":0}}}}',
    )
    expect(
      backends.map((each) => [formatAddress(each.address), each.ports, each.zone, each.condition, each.weight]),
    ).toEqual([
      ['10.1.0.1', [], 'z', 'ready', 100],
      ['10.1.0.2', [{ name: '', protocol: 17, port: 53 }], undefined, 'ready', 100],
      [
        '10.1.0.3',
        [
          { name: 'a', protocol: 6, port: 1 },
          { name: 'a', protocol: 17, port: 1 },
        ],
        undefined,
        'ready',
        100,
      ],
      ['10.1.0.4', [], undefined, 'ready', 100],
    ])
  })

  test.each([
    '{"backends":{"10.1":{}}}',
    '{"backends":{"010.1.1.1":{}}}',
    '{"backends":{"__proto__":{}}}',
    '{"backends":[]}',
    '{"backends":{"10.1.0.1":{"http":80}}}',
    '{"backends":{"10.1.0.1":{"http":{"Protocol":"TCP","Port":0}}}}',
    '{"backends":{"10.1.0.1":{"http":{"Protocol":"TCP","Port":70000}}}}',
    '{"frontends":{"x":{}}}',
    '{"labels":{"a":1}}',
    '{"cluster":1}',
    '{"shared":"true"}',
    '{"clusterID":-2}',
  ])('%s is refused', (value) => expect(() => decodeService(value)).toThrow(WireError))
})
