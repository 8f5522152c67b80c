import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { PlainSocket } from '../../native/index.ts'
import { eventually } from '../eventually.ts'
import { build, type PacketSpec } from './packet.ts'
import { CLIENT, NODE, NODE_PORT, type Roads, VIP } from './roads.ts'
import { AT_WAY, servedRoads, WAYS } from './ways.ts'

/** Datagrams that do not fit into one packet, there and back: the servers answer with what they get. */

async function echo(socket: Socket, host: string, port: number, length: number): Promise<Buffer> {
  const payload = Buffer.alloc(length, 'fragments follow their first one, ')
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(5000) }) as Promise<[Buffer]>
  socket.send(payload, port, host)
  const [got] = await answer
  expect(got.equals(payload)).toBe(true)
  return got
}

describe.each(WAYS)(AT_WAY, (way) => {
  let roads: Roads

  beforeAll(async () => {
    roads = await servedRoads(way)
  })
  beforeEach(() => roads.forget())
  afterAll(() => roads.close())

  describe.each(['elsewhere', 'here'] as const)('backend %s', (where) => {
    beforeEach(() => {
      roads.service(where)
      roads.service(where, NODE, NODE_PORT)
    })

    it.each([
      [NODE, NODE_PORT, 8 << 10],
      [NODE, NODE_PORT, 60_000],
      [VIP, 80, 65_507],
    ])('to %s:%i, %i bytes there and back', async (host, port, length) => {
      await roads.inside('client', async () => {
        const socket = createSocket('udp4')
        try {
          await echo(socket, host, port, length)
          // The flow is known now.
          await echo(socket, host, port, length)
        } finally {
          socket.close()
        }
      })
    })

    it('several datagrams at once, each put together from its own parts', async () => {
      await roads.inside('client', async () => {
        const sockets = Array.from({ length: 8 }, () => createSocket('udp4'))
        try {
          await Promise.all(sockets.map((socket, i) => echo(socket, NODE, NODE_PORT, 5000 + 1000 * i)))
        } finally {
          for (const socket of sockets) socket.close()
        }
      })
    })
  })

  it('out of order: what comes before its first part is dropped by name, and nothing reaches the server of it', async () => {
    roads.service('elsewhere')
    roads.keepForServices(VIP)
    const seen = roads.in('backend', () => PlainSocket.raw('udp'))
    await roads.inside('client', async () => {
      const sender = PlainSocket.rawSender()
      const socket = createSocket('udp4')
      const before = roads.counted('DROP_FRAG_NOT_FOUND')
      const part = (more: Partial<PacketSpec>) =>
        sender.send(
          build({ src: CLIENT, dst: VIP, proto: 'udp', id: 77, payload: 'x'.repeat(1400), ...more }).subarray(14),
        )
      part({ fragment: { offset: 176, more: false } })
      await eventually(() => roads.counted('DROP_FRAG_NOT_FOUND') === before + 1)
      part({ fragment: { offset: 0, more: true } })
      // A whole one behind them, which arrives: the others would have before.
      await echo(socket, VIP, 80, 100)
      const lengths: number[] = []
      for (let packet = seen.receive(); packet !== undefined; packet = seen.receive()) lengths.push(packet.length)
      expect(lengths).toEqual([128])
      socket.close()
      sender.close()
    })
    seen.close()
  })
})
