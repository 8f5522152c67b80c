import { expect, test } from 'vitest'
import type { DevicePlace } from '../../../agent/maps/program-pins.ts'
import { parsePin, pinName } from '../../../agent/maps/program-pins.ts'

test.each<[string, DevicePlace]>([
  ['from_netdev@eth0:ingress', { device: 'eth0', point: 'ingress' }],
  ['from_netdev@eth0%2e100:egress', { device: 'eth0.100', point: 'egress' }],
  ['from_netdev@a%25%2eb@c:xdp', { device: 'a%.b@c', point: 'xdp' }],
  ['from_netdev@up0:xdpgeneric', { device: 'up0', point: 'xdpgeneric' }],
])('%s names a program and its place', (name, place) => {
  expect(pinName('weft_from_netdev', place)).toBe(name)
  expect(parsePin(name)).toEqual({ program: 'weft_from_netdev', place })
})

test('a program that is on no device has no place in its pin', () => {
  expect(pinName('weft_connect4')).toBe('connect4')
  expect(parsePin('connect4')).toBeUndefined()
})
