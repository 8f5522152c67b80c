import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { DROP_REASONS } from '../../agent/maps/drop-reasons.ts'
import type { PacketEvent } from '../../agent/maps/events.ts'
import { decodeEvent, EVENT_TYPES, TRACE_POINTS } from '../../agent/maps/events.ts'
import { METRIC_DIRECTIONS } from '../../agent/maps/metrics.ts'
import { RUNTIME_EVENTS } from '../../agent/maps/runtime.ts'
import { formatAddress } from '../../agent/types/address.ts'
import { RingBuffer } from '../../native/index.ts'
import type { Case } from './run.ts'
import { runCase } from './run.ts'
import { POD, World } from './world.ts'

/** What the programs tell, and that they tell nothing to nobody. */

const VIP = '172.18.100.10'
const CLIENT = '192.0.2.7'

let world: World
let ring: RingBuffer

beforeAll(() => {
  world = new World()
  ring = new RingBuffer(world.map('w_ev'))
})
afterAll(() => {
  ring.close()
  world.close()
})
beforeEach(() => {
  listenTo(0)
  read()
})

function listenTo(events: number): void {
  const value = Buffer.alloc(8)
  value.writeUInt32LE(events)
  world.map('w_rt_v1').update(Buffer.alloc(4), value)
}

function read(): PacketEvent[] {
  const events: PacketEvent[] = []
  ring.drain((data, at, length) => {
    const event = decodeEvent(data, at, length)
    if (event !== undefined) events.push(event)
  })
  return events
}

const request = { src: CLIENT, dst: VIP, sport: 40000, dport: 80, flags: 'S' } as const

function dropped(config: Case['config'] = {}): Case {
  const services = [{ id: 1, address: VIP, backends: [] }]
  const steps = [{ send: request, verdict: 'drop' as const, counts: 'DROP_NO_SERVICE' }]
  return { description: '', config: { cfg_no_backend_reject: false, ...config }, services, steps }
}

function forwarded(config: Case['config'] = {}): Case {
  return {
    description: '',
    config,
    backends: [{ id: 5, address: POD }],
    services: [{ id: 1, address: VIP, backends: [5] }],
    endpoints: [POD],
    steps: [{ send: request, verdict: 'pass', becomes: { dst: POD, dport: 8080 } }],
  }
}

const text = (event: PacketEvent): string =>
  `${formatAddress(event.source)}:${event.sourcePort}>${formatAddress(event.destination)}:${event.destinationPort}`

it.each(['tc', 'xdp'] as const)(
  'a drop is told with reason, device and tuple to who listens, and to nobody else [%s]',
  (path) => {
    runCase(world, dropped(), path)
    expect(read()).toEqual([])
    listenTo(RUNTIME_EVENTS.TRACE)
    runCase(world, dropped(), path)
    expect(read()).toEqual([])
    listenTo(RUNTIME_EVENTS.DROP)
    runCase(world, dropped(), path)
    const [event, ...rest] = read()
    expect(rest).toEqual([])
    expect(event).toMatchObject({
      ...{ type: EVENT_TYPES.DROP, reason: DROP_REASONS.DROP_NO_SERVICE, direction: METRIC_DIRECTIONS.INGRESS },
      ...{ ifindex: world.ifindex('ingress'), protocol: 6 },
    })
    expect(text(event!)).toBe(`${CLIENT}:40000>${VIP}:80`)
  },
)

it.each(['tc', 'xdp'] as const)(
  'a packet that goes on is told only by programs that trace, to who listens [%s]',
  (path) => {
    listenTo(RUNTIME_EVENTS.DROP | RUNTIME_EVENTS.TRACE)
    runCase(world, forwarded(), path)
    expect(read()).toEqual([])
    runCase(world, forwarded({ cfg_trace: true }), path)
    const [event, ...rest] = read()
    expect(rest).toEqual([])
    expect(event).toMatchObject({ type: EVENT_TYPES.TRACE, point: TRACE_POINTS.STACK, isAnswer: false, tcpFlags: 2 })
    expect(text(event!)).toBe(`${CLIENT}:40000>${VIP}:80`)
    expect([formatAddress(event!.newDestination), event!.newDestinationPort]).toEqual([POD, 8080])
    listenTo(RUNTIME_EVENTS.DROP)
    runCase(world, forwarded({ cfg_trace: true }), path)
    expect(read()).toEqual([])
  },
)
