import { describe, expect, it } from 'vitest'
import { nodeFromObject } from '../../../../agent/sources/objects/node.ts'
import { formatAddress, formatCidr } from '../../../../agent/types/address.ts'
import { faultsOf, rowOf } from './outcome.ts'

function convert(parts: object): ReturnType<typeof nodeFromObject> {
  const object = { metadata: { name: 'west-worker' }, ...parts }
  return nodeFromObject(object, { cluster: 'west', origin: 'n.yaml:1' })
}

const internal = { type: 'InternalIP', address: '172.18.0.3' }
const external = { type: 'ExternalIP', address: '203.0.113.3' }
const legacy = { type: 'LegacyHostIP', address: '192.0.2.3' }
const named = { type: 'Hostname', address: 'west-worker' }

describe('nodeFromObject', () => {
  it('reads addresses, prefixes and zone', () => {
    const node = rowOf(
      convert({
        metadata: { name: 'west-worker', labels: { 'topology.kubernetes.io/zone': 'a' } },
        spec: { podCIDR: '10.0.1.0/24', podCIDRs: ['10.0.1.0/24', 'fd00::/64'] },
        status: { addresses: [named, external, internal, { type: 'InternalIP', address: 'fd00::3' }] },
      }),
    )
    expect(node).toMatchObject({
      key: 'west/west-worker',
      cluster: 'west',
      name: 'west-worker',
      zone: 'a',
      origin: 'n.yaml:1',
    })
    expect(formatAddress(node.address)).toBe('172.18.0.3')
    expect(node.podCidrs.map(formatCidr)).toEqual(['10.0.1.0/24'])
    expect(node.addresses.map((entry) => entry.type)).toEqual(['ExternalIP', 'InternalIP'])
  })

  it.each([
    [[external, internal], '172.18.0.3'],
    [[named, legacy, external], '203.0.113.3'],
    [[named, legacy], '192.0.2.3'],
  ])('of %j other nodes use %s', (addresses, expected) => {
    expect(formatAddress(rowOf(convert({ status: { addresses } })).address)).toBe(expected)
  })

  it.each([
    [{}, 'status.addresses: has no IPv4 address'],
    [{ status: { addresses: [named] } }, 'status.addresses: has no IPv4 address'],
    [
      { status: { addresses: [{ type: 'InternalIP', address: '172.18' }] } },
      'status.addresses[0].address: "172.18" is not an',
    ],
    [
      { status: { addresses: [internal] }, spec: { podCIDR: '10.0.1.0/40' } },
      'spec.podCIDR: "10.0.1.0/40" is not a prefix',
    ],
    [{ metadata: { name: 'a/b' }, status: { addresses: [internal] } }, 'metadata.name: "a/b" is not a valid name'],
  ])('refuses %j', (parts, message) => {
    const faults = faultsOf(convert(parts))
    expect(faults).toHaveLength(1)
    expect(faults[0]).toContain(message)
  })
})
