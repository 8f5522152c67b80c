import { MAPS, RtEvent, RtVal } from './layout.gen.ts'

/** Switches of running programs: a mapped array of one element. */
export const RUNTIME_MAP = MAPS.w_rt_v1

export const RUNTIME_EVENTS = RtEvent

/** Which events are written: RUNTIME_EVENTS. */
export function setEvents(words: Uint32Array, events: number): void {
  words[RtVal.events / 4] = events
}
