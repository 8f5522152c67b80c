import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatCidr } from '../../../../agent/types/address.ts'
import { WireError } from '../../../../agent/types/wire/go-json.ts'
import { decodeNode, encodeNode } from '../../../../agent/types/wire/node.ts'
import { address, labels, prefix, text } from './arbitrary.ts'

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
