import type { Address } from '../types/address.ts'
import { MAPS, RtEvent, RtVal } from './layout.gen.ts'

/** Switches of running programs: a mapped array of one element. */
export const RUNTIME_MAP = MAPS.w_rt_v1

export const RUNTIME_EVENTS = RtEvent

/** The node's address where it has the same on all devices; undefined: the device map says. */
export function setSoleAddress(words: Uint32Array, address: Address | undefined): void {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(address ?? 0)
  words[RtVal.addr / 4] = bytes.readUInt32LE()
}

/** Which events are written: RUNTIME_EVENTS. */
export function setEvents(words: Uint32Array, events: number): void {
  words[RtVal.events / 4] = events
}
