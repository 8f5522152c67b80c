import type { Clock } from '../lib/clock.ts'
import type { MonitorEvent, MonitorFeed, MonitorType } from '../types/monitor.ts'
import type { PacketEvent } from '../maps/events.ts'
import { reasonName } from '../maps/drop-reasons.ts'
import { decodeEvent, EVENT_TYPES, TRACE_POINTS } from '../maps/events.ts'
import { METRIC_DIRECTIONS } from '../maps/metrics.ts'
import { RUNTIME_EVENTS, setEvents } from '../maps/runtime.ts'
import { formatAddress } from '../types/address.ts'
import { protocolName } from '../types/service.ts'

export interface MonitorOptions {
  /** The event ring. */
  readonly ring: { drain(onRecord: (data: Buffer, offset: number, length: number) => void): number }
  /** `w_rt_v1`, mapped. */
  readonly runtime: { readonly u32: Uint32Array }
  /** Events that found the ring full, ever. */
  readonly lost: () => number
  readonly ifName: (index: number) => string | undefined
  /** CLOCK_MONOTONIC in nanoseconds, as the programs' time stamps. */
  readonly monotonic: () => bigint
  readonly clock: Clock
  /** Whether the programs were loaded with tracing. */
  readonly trace: boolean
}

interface Listener {
  readonly types: readonly MonitorType[]
  readonly push: (events: readonly MonitorEvent[]) => void
}

const POLL_MS = 25
/** Counters are read less often than the ring. */
const LOST_EVERY = 40
const FLAG_NAMES = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR']
const DIRECTIONS: ReadonlyMap<number, string> = new Map(
  Object.entries(METRIC_DIRECTIONS).map(([name, value]) => [value, name.toLowerCase()]),
)
const VIA = new Map<number, 'stack' | 'device' | 'overlay'>([
  [TRACE_POINTS.STACK, 'stack'],
  [TRACE_POINTS.DEVICE, 'device'],
  [TRACE_POINTS.OVERLAY, 'overlay'],
])

/**
 * Reads the event ring for whoever listens. With nobody there the programs write nothing and nothing is read: the bits in
 * `w_rt_v1` say what is wanted.
 */
export class EventMonitor implements MonitorFeed {
  readonly types: readonly MonitorType[]
  readonly #options: MonitorOptions
  readonly #listeners = new Set<Listener>()
  readonly #devices = new Map<number, string>()
  #cancel: (() => void) | undefined
  #lostBefore = 0
  #polls = 0

  constructor(options: MonitorOptions) {
    this.#options = options
    this.types = options.trace ? ['drop', 'trace'] : ['drop']
    // An agent that died may have left them set.
    setEvents(options.runtime.u32, 0)
  }

  listen(types: readonly MonitorType[], push: Listener['push']): () => void {
    const listener = { types, push }
    if (this.#listeners.size === 0) this.#begin()
    this.#listeners.add(listener)
    this.#want()
    return () => {
      if (!this.#listeners.delete(listener)) return
      this.#want()
      if (this.#listeners.size === 0) this.#end()
    }
  }

  close(): void {
    this.#listeners.clear()
    this.#want()
    this.#end()
  }

  #begin(): void {
    // What nobody waited for.
    this.#options.ring.drain(() => undefined)
    this.#lostBefore = this.#options.lost()
    this.#devices.clear()
    this.#schedule()
  }

  #end(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  #want(): void {
    const types = new Set([...this.#listeners].flatMap((listener) => listener.types))
    const bits = (types.has('drop') ? RUNTIME_EVENTS.DROP : 0) | (types.has('trace') ? RUNTIME_EVENTS.TRACE : 0)
    setEvents(this.#options.runtime.u32, bits)
  }

  #schedule(): void {
    this.#cancel = this.#options.clock.after(POLL_MS, () => {
      this.#poll()
      if (this.#listeners.size > 0) this.#schedule()
    })
  }

  #poll(): void {
    const { ring, clock, monotonic } = this.#options
    const events: MonitorEvent[] = []
    const wall = clock.date().getTime()
    const now = monotonic()
    ring.drain((data, at, length) => {
      const event = decodeEvent(data, at, length)
      if (event !== undefined) events.push(this.#report(event, wall - Number((now - event.time) / 1_000_000n)))
    })
    if (++this.#polls % LOST_EVERY === 0) this.#addLost(events, wall)
    if (events.length === 0) return
    for (const { types, push } of [...this.#listeners]) {
      const wanted = events.filter((event) => event.type === 'lost' || types.includes(event.type))
      if (wanted.length > 0) push(wanted)
    }
  }

  #addLost(events: MonitorEvent[], wall: number): void {
    const lost = this.#options.lost()
    if (lost > this.#lostBefore) {
      events.push({ type: 'lost', time: new Date(wall).toISOString(), count: lost - this.#lostBefore })
    }
    this.#lostBefore = lost
    this.#devices.clear()
  }

  #report(event: PacketEvent, at: number): MonitorEvent {
    const common = {
      time: new Date(at).toISOString(),
      direction: DIRECTIONS.get(event.direction) ?? String(event.direction),
      ...(event.ifindex === 0 ? {} : { interface: this.#device(event.ifindex) }),
      protocol: protocolName(event.protocol),
      source: `${formatAddress(event.source)}:${event.sourcePort}`,
      destination: `${formatAddress(event.destination)}:${event.destinationPort}`,
      length: event.length,
    }
    if (event.type === EVENT_TYPES.DROP) return { type: 'drop', reason: reasonName(event.reason), ...common }
    return {
      type: 'trace',
      point: event.isAnswer ? 'from-backend' : 'to-backend',
      via: VIA.get(event.point) ?? 'device',
      ...common,
      newSource: `${formatAddress(event.newSource)}:${event.newSourcePort}`,
      newDestination: `${formatAddress(event.newDestination)}:${event.newDestinationPort}`,
      flags: FLAG_NAMES.filter((_, bit) => (event.tcpFlags & (1 << bit)) !== 0).join(','),
    }
  }

  #device(index: number): string {
    let name = this.#devices.get(index)
    if (name === undefined) {
      name = this.#options.ifName(index) ?? String(index)
      this.#devices.set(index, name)
    }
    return name
  }
}
