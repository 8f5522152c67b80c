import { describe, expect, it } from 'vitest'
import type { NetworkNamespace } from '../../../agent/targets/network-namespaces.ts'
import { StaleSockets } from '../../../agent/targets/stale-sockets.ts'
import type { Address } from '../../../agent/types/address.ts'
import { SteppedClock } from '../../stepped-clock.ts'

const TCP = 6
const UDP = 17
const GONE = 1 as Address
const OTHER = 2 as Address

interface Socket {
  readonly name: string
  readonly protocol: number
  readonly destination: number
  readonly destinationPort: number
  readonly translated: boolean
}

const socket = (name: string, protocol: number, over: Partial<Socket> = {}): Socket => ({
  ...{ name, protocol, destination: GONE, destinationPort: 53, translated: true },
  ...over,
})

function setup(places: Record<string, Socket[]>) {
  const clock = new SteppedClock()
  const destroyed: string[] = []
  const errors: unknown[] = []
  const world = { deserted: false, opened: [] as string[], unreachable: new Set<string>(), open: 0, walks: 0 }
  const sockets = new StaleSockets<Socket>({
    namespaces: () => {
      const walk = String(world.walks++)
      return Object.keys(places).map((name): NetworkNamespace => ({ name, path: `${name}/${walk}` }))
    },
    open: ({ name, path }) => {
      world.opened.push(path)
      if (world.unreachable.has(path)) return undefined
      world.open++
      return {
        list: (protocol, port) =>
          (places[name] ?? []).filter((each) => each.protocol === protocol && each.destinationPort === port),
        destroy: (each) => {
          if (each.name === 'refused') throw new Error('no')
          destroyed.push(each.name)
          return true
        },
        close: () => world.open--,
      }
    },
    isTranslated: (each) => each.translated,
    deserted: () => () => world.deserted,
    onError: (error) => errors.push(error),
    clock,
  })
  const gone = (protocol: number): void => sockets.gone({ address: GONE, port: 53, protocol })
  return { clock, destroyed, errors, world, sockets, gone }
}

describe('StaleSockets', () => {
  it('ends sockets that were sent to the backend, and no others', () => {
    const { clock, destroyed, world, gone } = setup({
      host: [
        socket('sent', UDP),
        socket('own', UDP, { translated: false }),
        socket('elsewhere', UDP, { destination: OTHER }),
      ],
      pod: [socket('port', UDP, { destinationPort: 54 }), socket('tcp', TCP), socket('too', UDP)],
    })
    gone(UDP)
    clock.step(99)
    expect(world.opened).toEqual([])
    clock.step(1)
    expect(destroyed).toEqual(['sent', 'too'])
    expect(world.open).toBe(0)
    expect(clock.timers).toBe(0)
  })

  it('waits with TCP until nothing lives at the address, for a minute', () => {
    const { clock, destroyed, world, gone } = setup({ host: [socket('tcp', TCP)] })
    gone(TCP)
    clock.step(30_000)
    expect(world.opened).toEqual([])
    world.deserted = true
    clock.step(2000)
    expect(destroyed).toEqual(['tcp'])
    world.deserted = false
    gone(TCP)
    clock.step(70_000)
    expect(clock.timers).toBe(0)
  })

  it('does not let UDP wait while TCP does', () => {
    const { clock, destroyed, gone } = setup({ host: [socket('udp', UDP)] })
    gone(TCP)
    clock.step(150)
    gone(UDP)
    clock.step(100)
    expect(destroyed).toEqual(['udp'])
  })

  it('looks for another way into a namespace whose process has ended, once', () => {
    const { clock, destroyed, world, gone } = setup({ host: [], pod: [socket('udp', UDP)] })
    world.unreachable.add('pod/0')
    gone(UDP)
    clock.step(200)
    expect(world.opened).toEqual(['host/0', 'pod/0', 'pod/1'])
    expect(destroyed).toEqual(['udp'])
    for (const walk of ['2', '3', '4']) world.unreachable.add(`pod/${walk}`)
    gone(UDP)
    clock.step(10_000)
    expect(clock.timers).toBe(0)
  })

  it('goes on where something fails', () => {
    const { clock, destroyed, errors, world, gone } = setup({
      host: [socket('refused', UDP)],
      pod: [socket('udp', UDP)],
    })
    gone(UDP)
    clock.step(200)
    expect(errors).toHaveLength(1)
    expect(destroyed).toEqual(['udp'])
    expect(world.open).toBe(0)
    gone(UDP)
    clock.step(200)
    expect(errors).toHaveLength(2)
  })

  it('does nothing any more once it is closed', () => {
    const { clock, world, sockets, gone } = setup({ host: [socket('udp', UDP)] })
    gone(UDP)
    sockets.close()
    gone(UDP)
    clock.step(1000)
    expect(world.opened).toEqual([])
  })
})
