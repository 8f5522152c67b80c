import { describe, expect, test } from 'vitest'
import { chooseDevices, deviceAddresses, deviceEntries, deviceProblems } from '../../../agent/desired/devices.ts'
import type { NetDevice } from '../../../agent/types/device.ts'
import { parseAddress } from '../../../agent/types/address.ts'

const ip = (text: string) => parseAddress(text)!
const device = (name: string, index: number, addresses: readonly string[], isDefault = false): NetDevice => ({
  ...{ name, index, isDefault, mtu: 1500, kind: undefined, hidesTags: false },
  addresses: addresses.map(ip),
})

const lo = device('lo', 1, [])
const eth0 = device('eth0', 2, ['172.18.0.2'])
const eth1 = device('eth1', 3, ['192.0.2.2', '192.0.2.3'], true)
const vlan = device('eth1.100', 4, [])
const present = [lo, eth1, eth0, vlan]
const names = (devices: readonly NetDevice[]): string[] => devices.map(({ name }) => name)

describe('devices that face other nodes and clients', () => {
  test.each([
    [undefined, ['eth0', 'eth1']],
    [['eth1.100'], ['eth0', 'eth1.100']],
    [['eth+'], ['eth0', 'eth1', 'eth1.100']],
    [['+'], ['eth0', 'eth1', 'eth1.100']],
    [['absent'], ['eth0']],
  ])('%j: the uplink first, then %j', (patterns, wanted) => {
    expect(names(chooseDevices({ uplink: 'eth0', patterns }, present))).toEqual(wanted)
  })

  test('the uplink is waited for', () => {
    expect(names(chooseDevices({ uplink: 'eth9', patterns: undefined }, present))).toEqual(['eth1'])
    const [problem] = deviceProblems({ uplink: 'eth9', patterns: ['eth+'] }, [eth1], [], false)
    expect(problem?.code).toBe('device-missing')
  })
})

test('the node address comes first, and each once', () => {
  expect(deviceAddresses(ip('192.0.2.3'), [eth0, eth1])).toEqual([ip('192.0.2.3'), ip('172.18.0.2'), ip('192.0.2.2')])
})

test('what programs know: the address of each, the node address where it stands or where there is none', () => {
  const states = [
    { device: 'eth0', xdp: 'native', reason: undefined, error: undefined },
    { device: 'eth1', xdp: 'generic', reason: undefined, error: undefined },
  ] as const
  const entries = deviceEntries(ip('192.0.2.3'), [eth0, eth1, vlan], states)
  expect([...entries]).toEqual([
    [0, { address: ip('192.0.2.3'), several: true, xdp: false }],
    [2, { address: ip('172.18.0.2'), several: false, xdp: true }],
    [3, { address: ip('192.0.2.3'), several: false, xdp: false }],
    [4, { address: ip('192.0.2.3'), several: false, xdp: false }],
  ])
  expect(deviceEntries(ip('172.18.0.2'), [eth0], []).get(0)?.several).toBe(false)
})

test.each([
  ['native', true, ['xdp-refused']],
  ['best-effort', false, []],
] as const)('a device without XDP under %s', (_mode, demanded, codes) => {
  const states = [{ device: 'eth0', xdp: undefined, reason: 'its driver has no native XDP', error: undefined }]
  const problems = deviceProblems({ uplink: 'eth0', patterns: undefined }, [eth0], states, demanded)
  expect(problems.map(({ code }) => code)).toEqual(codes)
})
