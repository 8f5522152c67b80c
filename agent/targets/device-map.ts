import type { Address } from '../types/address.ts'
import type { DeviceEntry } from '../maps/device.ts'
import type { EntryMap } from './map-target.ts'
import { deviceKey, deviceValue } from '../maps/device.ts'
import { encoded } from '../maps/codec.ts'
import { setSoleAddress } from '../maps/runtime.ts'

type DeviceMap = Pick<EntryMap, 'dump' | 'deleteBatch'> & { update(key: Uint8Array, value: Uint8Array): void }

/**
 * Makes the map hold exactly these entries. What is new comes before what is old goes: no packet finds less than there was.
 * `words`: `w_rt_v1`, mapped. It says the node's address too, where there is only one to choose from.
 */
export function writeDevices(map: DeviceMap, words: Uint32Array, entries: ReadonlyMap<number, DeviceEntry>): void {
  for (const [index, entry] of entries) map.update(encoded(deviceKey, index), encoded(deviceValue, entry))
  const { keys, count } = map.dump()
  for (let at = 0; at < count; at++) {
    const key = keys.subarray(at * deviceKey.size, (at + 1) * deviceKey.size)
    if (!entries.has(deviceKey.decode(key))) map.deleteBatch(key, 1)
  }
  setSoleAddress(words, soleAddress(entries))
}

function soleAddress(entries: ReadonlyMap<number, DeviceEntry>): Address | undefined {
  const [first, ...others] = [...entries.values()]
  const isSame = ({ address, several }: DeviceEntry): boolean => !several && address === first?.address
  return first?.several === false && others.every(isSame) ? first.address : undefined
}
