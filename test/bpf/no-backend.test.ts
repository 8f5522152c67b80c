import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PlainSocket } from '../../native/index.ts'
import { eventually } from '../eventually.ts'
import { icmpOf } from './icmp.ts'
import { NODE, NODE_PORT, type Roads, VIP, VIP2 } from './roads.ts'
import { AT_WAY, HALF_OFFLOADED, roadsOf, WAYS } from './ways.ts'

/** Clients outside, and services without a backend. Sockets of the node itself: sockets.test.ts. */

/** The error that a connection attempt ends with. */
async function tcpError(host: string, port: number): Promise<unknown> {
  const socket = connect({ host, port })
  try {
    await once(socket, 'connect')
    return undefined
  } catch (error) {
    return error
  } finally {
    socket.destroy()
  }
}

/** The error that a connected UDP socket hears after it has sent something. */
async function udpError(host: string, port: number): Promise<unknown> {
  const socket = createSocket('udp4')
  try {
    socket.connect(port, host)
    await once(socket, 'connect')
    const heard = new Promise((resolve) => socket.once('error', resolve))
    socket.send('?', (error) => error !== null && socket.emit('error', error))
    return await heard
  } finally {
    socket.close()
  }
}

describe.each([...WAYS, HALF_OFFLOADED])(AT_WAY, (way) => {
  let roads: Roads

  beforeAll(() => {
    roads = roadsOf(way)
    roads.service('nowhere')
    roads.service('nowhere', NODE, NODE_PORT)
    roads.service('nowhere', VIP2, 80, ['LB', 'ROUTABLE', 'ETP_LOCAL'])
  })
  afterAll(() => roads.close())

  it.each([
    [VIP, 80],
    [NODE, NODE_PORT],
  ])('TCP and UDP to %s:%i are refused at once', async (host, port) => {
    await roads.inside('client', async () => {
      const listener = PlainSocket.raw('icmp')
      try {
        expect(await tcpError(host, port)).toMatchObject({ code: 'ECONNREFUSED' })
        expect(await udpError(host, port)).toMatchObject({ code: 'ECONNREFUSED' })
        for (const proto of ['tcp', 'udp']) {
          const error = icmpOf(await eventually(() => listener.receive() ?? false))
          expect(error).toMatchObject({ type: 3, code: 3, from: host, checksum: 'ok', quote: { proto, dst: host } })
        }
      } finally {
        listener.close()
      }
    })
  })

  it('externalTrafficPolicy Local: nothing is said', async () => {
    const before = roads.counted('DROP_NO_SERVICE')
    await roads.inside('client', async () => {
      const listener = PlainSocket.raw('icmp')
      const [tcp, udp] = [connect({ host: VIP2, port: 80 }), createSocket('udp4')]
      const events: unknown[] = []
      for (const socket of [tcp, udp]) socket.on('error', (error) => events.push(error))
      tcp.on('connect', () => events.push('connect'))
      udp.send('?', 80, VIP2)
      await eventually(() => roads.counted('DROP_NO_SERVICE') >= before + 2)
      // A refusal sent before this one would have come before it.
      expect(await udpError(VIP, 80)).toMatchObject({ code: 'ECONNREFUSED' })
      expect(icmpOf(listener.receive() ?? Buffer.alloc(0))).toMatchObject({ from: VIP })
      expect(listener.receive()).toBeUndefined()
      expect(events).toEqual([])
      tcp.destroy()
      udp.close()
      listener.close()
    })
  })
})
