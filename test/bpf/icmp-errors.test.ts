import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { PlainSocket } from '../../native/index.ts'
import { eventually } from '../eventually.ts'
import { type IcmpError, icmpOf } from './icmp.ts'
import { build } from './packet.ts'
import { BACKEND, CLIENT, NEAR, NODE, NODE_PORT, POD, type Roads, VIP } from './roads.ts'
import { AT_WAY, servedRoads, WAYS } from './ways.ts'

/** Errors about what a client sends, told by routers, by the node and by backends, as its sockets hear them. */

const FAR_SEEN = '172.18.1.1'

describe.each(WAYS)(AT_WAY, (way) => {
  let roads: Roads

  beforeAll(async () => {
    roads = await servedRoads(way)
    // Nobody listens there.
    roads.maps.addBackend({ id: 5, address: BACKEND, port: 9, protocol: 17 })
    roads.maps.addBackend({ id: 6, address: POD, port: 9, protocol: 17 })
    for (const [id, address, port, backend] of [
      [60, VIP, 90, 5],
      [61, VIP, 91, 6],
      [62, NODE, NODE_PORT + 10, 5],
      [63, NODE, NODE_PORT + 11, 6],
    ] as const) {
      roads.maps.addService({ id, address, port, protocol: 17, backends: [backend] })
    }
  })
  beforeEach(() => roads.forget())
  afterAll(() => roads.close())

  it.each([
    ['elsewhere', VIP, 90],
    ['here', VIP, 91],
    ['elsewhere', NODE, NODE_PORT + 10],
    ['here', NODE, NODE_PORT + 11],
  ])('a backend %s that does not listen: a connected socket to %s:%i is refused', async (_where, host, port) => {
    await roads.inside('client', async () => {
      const listener = PlainSocket.raw('icmp')
      const socket = createSocket('udp4')
      socket.connect(port, host)
      await once(socket, 'connect')
      const error = new Promise((resolve) => socket.once('error', resolve))
      socket.send('?')
      expect(await error).toMatchObject({ code: 'ECONNREFUSED' })
      const seen = icmpOf(await eventually(() => listener.receive() ?? false))
      expect(seen).toMatchObject({ type: 3, code: 3, from: host, checksum: 'ok' })
      expect(seen.quote).toMatchObject({ src: CLIENT, dst: host, dport: port })
      socket.close()
      listener.close()
    })
  })

  describe.each([
    { where: 'elsewhere', hops: [NEAR, NODE, FAR_SEEN] },
    { where: 'here', hops: [NEAR, NODE] },
  ] as const)('who says that the TTL has run out, backend $where', ({ where, hops }) => {
    it.each(['udp', 'tcp'] as const)('%s', async (proto) => {
      roads.service(where)
      await roads.inside('client', async () => {
        const listener = PlainSocket.raw('icmp')
        const sender = PlainSocket.rawSender()
        for (const [i, hop] of hops.entries()) {
          const sport = 41_000 + i
          sender.send(build({ src: CLIENT, dst: VIP, proto, sport, ttl: i + 1, payload: '' }).subarray(14))
          const error: IcmpError = icmpOf(await eventually(() => listener.receive() ?? false))
          expect(error).toMatchObject({ type: 11, code: 0, from: hop, to: CLIENT, checksum: 'ok' })
          expect(error.quote).toMatchObject({ proto, src: CLIENT, dst: VIP, sport, dport: 80 })
        }
        sender.close()
        listener.close()
      })
    })

    it('one more and it arrives', async () => {
      roads.service(where)
      await roads.inside('client', async () => {
        const socket = createSocket('udp4')
        socket.bind(0)
        await once(socket, 'listening')
        socket.setTTL(hops.length + 1)
        const answer = once(socket, 'message', { signal: AbortSignal.timeout(3000) })
        socket.send('?', 80, VIP)
        await answer
        socket.close()
      })
    })
  })
})
