import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Address } from '../../../agent/types/address.ts'
import type { Endpoint, EndpointPort } from '../../../agent/types/backend.ts'
import { formatAddress, formatCidr, maskAddress, parseAddress, parseCidr } from '../../../agent/types/address.ts'
import { decodeClusterConfig, encodeClusterConfig } from '../../../agent/types/wire/cluster-config.ts'
import { field, goMap, goString, parseObject, WireError } from '../../../agent/types/wire/go-json.ts'
import { decodeIdentity, encodeIdentity } from '../../../agent/types/wire/identity.ts'
import { decodeIp, decodeMask, encodeIp, encodeMask } from '../../../agent/types/wire/ip.ts'
import { canaryKey, clusterConfigKey, isClusterName, resourcePrefix } from '../../../agent/types/wire/keys.ts'
import { decodeNode, encodeNode } from '../../../agent/types/wire/node.ts'
import { decodeService, encodeService } from '../../../agent/types/wire/service.ts'

const address = fc.integer({ min: 0, max: 0xffffffff }).map((value) => value as Address)
const prefix = fc
  .tuple(address, fc.integer({ min: 0, max: 32 }))
  .map(([value, bits]) => ({ address: maskAddress(value, bits), bits }))
const text = fc.string({ unit: 'grapheme', maxLength: 12 })
const labels = fc.dictionary(text, text, { maxKeys: 4, noNullPrototype: true })
const ports = fc.uniqueArray(
  fc.record<EndpointPort>({
    name: fc.oneof(fc.constant(''), fc.constant('8080'), text),
    protocol: fc.constantFrom(6, 17, 132),
    port: fc.integer({ min: 1, max: 65535 }),
  }),
  { selector: ({ name }) => name, maxLength: 3 },
)
const endpoint = fc.record<Endpoint>({
  address,
  ports,
  condition: fc.constantFrom('ready', 'serving', 'not-ready'),
  nodeName: fc.constant(undefined),
  zone: fc.option(
    text.filter((zone) => zone !== ''),
    { nil: undefined },
  ),
  weight: fc.oneof(fc.constant(100), fc.integer({ min: 1, max: 65535 })),
})

function literal(value: string): Address {
  const parsed = parseAddress(value)
  if (parsed === undefined) throw new Error(value)
  return parsed
}

function cidr(value: string): { address: Address; bits: number } {
  const parsed = parseCidr(value)
  if (parsed === undefined) throw new Error(value)
  return parsed
}

describe('JSON as Go writes it', () => {
  test.each([
    ['a<b>&c', '"a\\u003cb\\u003e\\u0026c"'],
    ['\u2028\u2029', '"\\u2028\\u2029"'],
    ['"\\\n\t\u0001', '"\\"\\\\\\n\\t\\u0001"'],
    ['é😀', '"é😀"'],
  ])('%j', (value, json) => expect(goString(value)).toBe(json))

  test('map keys are sorted by their bytes, numbers among them not first', () => {
    const entries = Object.entries({ b: 1, '10': 2, a: 3, '9': 4, '\uffff': 5, '😀': 6 })
    expect(goMap(entries, String)).toBe('{"10":2,"9":4,"a":3,"b":1,"\uffff":5,"😀":6}')
  })

  test('fields are found whatever their case, null is absent', () => {
    const object = parseObject('{"ClusterID":3,"NAME":"x","labels":null}')
    expect(field(object, 'clusterID')).toBe(3)
    expect(field(object, 'Name')).toBe('x')
    expect(field(object, 'labels')).toBeUndefined()
    expect(field(object, 'toString')).toBeUndefined()
  })

  test.each(['', '{', '[]', 'null', '1', '"x"'])('%j is refused', (value) =>
    expect(() => parseObject(value)).toThrow(WireError),
  )
})

describe('keys', () => {
  test('are where Cilium puts them', () => {
    expect(clusterConfigKey('east')).toBe('cilium/cluster-config/east')
    expect(resourcePrefix('nodes', 'east', false)).toBe('cilium/state/nodes/v1/east/')
    expect(resourcePrefix('services', 'east', false)).toBe('cilium/state/services/v1/east/')
    expect(resourcePrefix('endpoints', 'east', false)).toBe('cilium/state/ip/v1/default/')
    expect(resourcePrefix('identities', 'east', false)).toBe('cilium/state/identities/v1/id/')
    expect(resourcePrefix('nodes', 'east', true)).toBe('cilium/cache/nodes/v1/east/')
    expect(resourcePrefix('services', 'east', true)).toBe('cilium/cache/services/v1/east/')
    expect(resourcePrefix('endpoints', 'east', true)).toBe('cilium/cache/ip/v1/east/')
    expect(resourcePrefix('identities', 'east', true)).toBe('cilium/cache/identities/v1/east/id/')
    expect(canaryKey('endpoints', 'east')).toBe('cilium/synced/east/cilium/state/ip/v1')
    expect(canaryKey('identities', 'east')).toBe('cilium/synced/east/cilium/state/identities/v1')
    expect(canaryKey('serviceexports', 'east')).toBe('cilium/synced/east/cilium/state/serviceexports/v1')
    expect(canaryKey('nodes', 'east', true)).toBe('cilium/synced/east/cilium/cache/nodes/v1')
  })

  test.each(['east', 'a', '0', 'a-b', 'x'.repeat(32)])('%s names a cluster', (name) =>
    expect(isClusterName(name)).toBe(true),
  )
  test.each(['', 'a/b', '-a', 'a-', 'A', 'a.b', 'x'.repeat(33), '../x'])('%s does not', (name) =>
    expect(isClusterName(name)).toBe(false),
  )
})

describe('cluster-config', () => {
  const east =
    '{"id":2,"capabilities":{"syncedCanaries":true,"maxConnectedClusters":255,"serviceExportsEnabled":false}}'

  test('is byte for byte what peers write', () => {
    expect(encodeClusterConfig(decodeClusterConfig(east))).toBe(east)
    const cached = east.replace('"syncedCanaries":true', '"syncedCanaries":true,"cached":true')
    expect(encodeClusterConfig(decodeClusterConfig(cached))).toBe(cached)
    expect(encodeClusterConfig(decodeClusterConfig('{"capabilities":{}}'))).toBe('{"capabilities":{}}')
  })

  test('what a copy says of its link comes after all that peers know, in ASCII', () => {
    const link = { connected: false, silentSince: 1_790_000_000_000, at: 1_790_000_006_000, reason: 'cut – "gone" <b>' }
    const text = encodeClusterConfig({ ...decodeClusterConfig(east), link })
    expect(text).toBe(
      `${east.slice(0, -1)},"link":{"connected":false,"silentSince":"2026-09-21T14:13:20.000Z",` +
        '"at":"2026-09-21T14:13:26.000Z","reason":"cut \\u2013 \\"gone\\" \\u003cb\\u003e"}}',
    )
    expect(decodeClusterConfig(text).link).toEqual(link)
    const alive = encodeClusterConfig({ ...decodeClusterConfig(east), link: { connected: true, reason: '' } })
    expect(alive).toBe(`${east.slice(0, -1)},"link":{"connected":true}}`)
  })

  test.each(['"up"', '[]', 'null', '{"connected":"yes"}', '{"silentSince":"yesterday"}', '{"silentSince":5}'])(
    'a link that is not ours tells nothing: %s',
    (link) => expect(decodeClusterConfig(`${east.slice(0, -1)},"link":${link}}`)).toEqual(decodeClusterConfig(east)),
  )

  test('unknown fields are ignored, absent ones have their default', () => {
    expect(decodeClusterConfig('{"id":7,"capabilities":{"endpointSlicesExportMode":"x"},"more":[]}')).toEqual({
      id: 7,
      syncedCanaries: false,
      cached: false,
      maxConnectedClusters: 0,
      serviceExportsEnabled: undefined,
    })
    expect(decodeClusterConfig('{"id":7}').id).toBe(7)
  })

  test.each(['{"id":-1}', '{"id":"2"}', '{"id":1.5}', '{"capabilities":[]}', '{"capabilities":{"cached":"yes"}}'])(
    '%s is refused',
    (value) => expect(() => decodeClusterConfig(value)).toThrow(WireError),
  )
})

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

  test('whatever is under a key is decoded or refused, nothing else', () => {
    const value = fc.oneof(
      fc.json(),
      fc.string(),
      fc.object().map((object) => JSON.stringify({ backends: object })),
    )
    fc.assert(
      fc.property(value, (json) => {
        for (const decode of [decodeService, decodeNode, decodeIp, decodeClusterConfig, decodeIdentity]) {
          try {
            decode(json)
          } catch (error) {
            expect(error).toBeInstanceOf(WireError)
          }
        }
      }),
    )
  })
})

describe('nodes', () => {
  const worker =
    '{"Name":"east-worker","Cluster":"east",' +
    '"IPAddresses":[{"Type":"InternalIP","IP":"172.18.0.3"},{"Type":"CiliumInternalIP","IP":"10.1.1.8"}],' +
    '"IPv4AllocCIDR":{"IP":"10.1.1.0","Mask":"////AA=="},"IPv4SecondaryAllocCIDRs":null,"IPv6AllocCIDR":null,' +
    '"IPv6SecondaryAllocCIDRs":null,"IPv4HealthIP":"","IPv6HealthIP":"","IPv4IngressIP":"","IPv6IngressIP":"","ClusterID":2,' +
    '"Source":"custom-resource","EncryptionKey":0,"Labels":{"kubernetes.io/hostname":"east-worker",' +
    '"topology.kubernetes.io/zone":"eu-1a"},"Annotations":null,"NodeIdentity":0,"WireguardPubKey":"","BootID":""}'

  test('are byte for byte what peers write', () => {
    expect(encodeNode(decodeNode(worker))).toBe(worker)
    expect(decodeNode(worker).podCidrs.map(formatCidr)).toEqual(['10.1.1.0/24'])
  })

  test('without addresses, prefixes and labels they have null there', () => {
    const json = encodeNode({ name: 'n', cluster: 'c', clusterId: 1, addresses: [], podCidrs: [], labels: {} })
    expect(json).toContain('"IPAddresses":null,"IPv4AllocCIDR":null,')
    expect(json).toContain('"Labels":null,')
    expect(decodeNode(json).podCidrs).toEqual([])
    expect(json).not.toContain('weft')
    expect(decodeNode(json).takesDsr).toBeUndefined()
  })

  test('any record survives the way out and back', () => {
    const record = fc.record({
      name: text,
      cluster: text,
      clusterId: fc.integer({ min: 0, max: 255 }),
      addresses: fc.array(fc.record({ type: fc.constantFrom('InternalIP', 'ExternalIP'), address }), { maxLength: 3 }),
      podCidrs: fc.array(prefix, { maxLength: 3 }),
      labels,
    })
    const told = fc.record({ takesDsr: fc.constant(true) }, { requiredKeys: [] })
    const both = fc.tuple(record, told).map(([fields, more]) => ({ ...fields, ...more }))
    fc.assert(fc.property(both, (value) => void expect(decodeNode(encodeNode(value))).toEqual(value)))
  })

  test('IPv6 addresses are left out', () => {
    const json = worker.replace('"10.1.1.8"', '"fd00::8"')
    expect(decodeNode(json).addresses).toHaveLength(1)
  })

  test.each([
    worker.replace('"172.18.0.3"', '"here"'),
    worker.replace('////AA==', '/wD/AA=='),
    worker.replace('"IP":"10.1.1.0"', '"IP":"ten"'),
    worker.replace('"ClusterID":2', '"ClusterID":"2"'),
  ])('is refused', (value) => expect(() => decodeNode(value)).toThrow(WireError))
})

describe('addresses', () => {
  const pod =
    '{"IP":"10.1.1.41","Mask":null,"HostIP":"172.18.0.3","ID":137204,"Key":0,"Metadata":"","K8sNamespace":"default","K8sPodName":"webpod-697b545f57-75q89"}'

  test('are byte for byte what peers write', () => {
    const record = decodeIp(pod)
    expect(record).toEqual({
      prefix: { address: literal('10.1.1.41'), bits: 32 },
      hostAddress: literal('172.18.0.3'),
      identity: 137204,
      namespace: 'default',
      podName: 'webpod-697b545f57-75q89',
    })
    expect(record && encodeIp(record)).toBe(pod)
  })

  test.each([
    [8, '/wAAAA=='],
    [16, '//8AAA=='],
    [24, '////AA=='],
    [30, '/////A=='],
    [0, 'AAAAAA=='],
  ])('/%i is %s', (bits, mask) => {
    expect(encodeMask(bits)).toBe(mask)
    expect(decodeMask(mask)).toBe(bits)
  })

  test('masks with holes or of IPv6 are none', () => {
    expect(decodeMask('/wD/AA==')).toBeUndefined()
    expect(decodeMask('//////////8AAAAAAAAAAA==')).toBeUndefined()
    expect(decodeMask('')).toBeUndefined()
  })

  test('any record survives the way out and back', () => {
    const record = fc.record({
      prefix,
      hostAddress: fc.option(address, { nil: undefined }),
      identity: fc.integer({ min: 0, max: 0xffffff }),
      namespace: text,
      podName: text,
    })
    fc.assert(fc.property(record, (value) => void expect(decodeIp(encodeIp(value))).toEqual(value)))
  })

  test('IPv6 is valid and not ours', () => {
    expect(decodeIp('{"IP":"fd00:10:1:1::2a","Mask":null,"HostIP":"","ID":137204}')).toBeUndefined()
  })

  test.each(['{}', '{"IP":"x","ID":1}', '{"IP":"10.0.0.1","Mask":"/wD/AA==","ID":1}', '{"IP":"10.0.0.1","ID":-1}'])(
    '%s is refused',
    (value) => expect(() => decodeIp(value)).toThrow(WireError),
  )

  test('a prefix is printed with its length only when it is no host', () => {
    expect(
      encodeIp({ prefix: cidr('10.1.0.0/16'), hostAddress: undefined, identity: 2, namespace: '', podName: '' }),
    ).toBe('{"IP":"10.1.0.0","Mask":"//8AAA==","HostIP":"","ID":2,"Key":0,"Metadata":""}')
  })
})

describe('identities', () => {
  const webpod =
    'k8s:app=webpod;k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=default;k8s:io.cilium.k8s.policy.cluster=east;k8s:io.cilium.k8s.policy.serviceaccount=default;k8s:io.kubernetes.pod.namespace=default;'

  test('are byte for byte what peers write, whatever the order of the labels', () => {
    expect(encodeIdentity([...decodeIdentity(webpod)].reverse())).toBe(webpod)
  })

  test('are ordered by key, not by source', () => {
    expect(encodeIdentity(['k8s:b=1', 'z:a=2', 'a:c'])).toBe('z:a=2;k8s:b=1;a:c;')
  })

  test('without labels are refused', () => {
    expect(() => decodeIdentity(';;')).toThrow(WireError)
  })
})
