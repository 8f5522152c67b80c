import { expect, test } from 'vitest'
import type { DeviceEntry } from '../../../agent/maps/device.ts'
import type { Address } from '../../../agent/types/address.ts'
import { parseAddress } from '../../../agent/types/address.ts'
import { writeDevices } from '../../../agent/targets/device-map.ts'

const NODE = parseAddress('192.0.2.3')!
const OTHER = parseAddress('198.51.100.3')!
const NONE = Buffer.alloc(0)

const device = (address: Address, several = false): DeviceEntry => ({ address, several, xdp: false })

/** What the programs take for the node's address without asking for a device, network order. */
function soleOf(entries: ReadonlyMap<number, DeviceEntry>): string {
  const map = { update: () => undefined, dump: () => ({ keys: NONE, values: NONE, count: 0 }), deleteBatch: () => 0 }
  const words = new Uint32Array(2)
  writeDevices(map, words, entries)
  return [...Buffer.from(words.buffer).subarray(4)].join('.')
}

test('with one device the programs know the address without asking for the device', () => {
  const one: [number, DeviceEntry] = [2, device(NODE)]
  expect(soleOf(new Map([[0, device(NODE)], one]))).toBe('192.0.2.3')
  expect(soleOf(new Map([[0, device(NODE)]]))).toBe('192.0.2.3')
})

test('they ask where there are several, where the one device has another address, and where nothing is known', () => {
  const one: [number, DeviceEntry] = [2, device(NODE)]
  expect(soleOf(new Map([[0, device(NODE, true)], one, [3, device(NODE)]]))).toBe('0.0.0.0')
  expect(soleOf(new Map([[0, device(OTHER)], one]))).toBe('0.0.0.0')
  expect(soleOf(new Map())).toBe('0.0.0.0')
})
