import { createSocket, type Socket as Datagrams } from 'node:dgram'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { udpAsk } from './sockets.ts'
import { BACKEND, NODE_ADDRESS, VIP, Wire } from './wire.ts'

/*
 * A connection of the node itself to a backend, and a forwarded one that would like the same source port towards it: if it
 * got that port, the node's socket would never hear from the backend again.
 */

const PORT = 45_000

let wire: Wire
let backend: { tcp: number; udp: number }

beforeAll(async () => {
  wire = new Wire()
  backend = await wire.serve()
})

afterAll(() => wire.close())

async function greeted(socket: Socket, word: string): Promise<string> {
  const answer = once(socket, 'data')
  socket.write(word)
  return String((await answer)[0])
}

async function connected(host: string, port: number, localAddress: string): Promise<Socket> {
  const socket = connect({ host, port, localAddress, localPort: PORT })
  await once(socket, 'connect')
  return socket
}

async function bound(address: string): Promise<Datagrams> {
  const socket = createSocket('udp4')
  socket.bind(PORT, address)
  await once(socket, 'listening')
  return socket
}

it('TCP: the flow gets another port, and both are answered', async () => {
  const own = await connected(BACKEND, backend.tcp, NODE_ADDRESS)
  await wire.inside('client', async () => {
    const forwarded = await connected(VIP, 80, '192.0.2.10')
    expect(await greeted(forwarded, 'from outside')).toBe('from outside')
    forwarded.destroy()
  })
  expect(await greeted(own, 'from the node')).toBe('from the node')
  own.destroy()
  expect(wire.maps.flowLines().filter((line) => line.includes(`${NODE_ADDRESS}:${PORT}`))).toEqual([])
})

it('UDP: the same, for a socket that is not connected', async () => {
  const own = await bound(NODE_ADDRESS)
  await wire.inside('client', async () => {
    const forwarded = await bound('192.0.2.10')
    expect((await udpAsk(forwarded, VIP, 80)).name).toBe('backend')
    forwarded.close()
  })
  expect((await udpAsk(own, BACKEND, backend.udp)).name).toBe('backend')
  own.close()
})

it("a port that is also a pod's hostPort: the node keeps the connection that it has from it", async () => {
  wire.maps.addService({ id: 30, address: NODE_ADDRESS, port: PORT, flags: ['HOSTPORT', 'ROUTABLE'], backends: [] })
  wire.maps.addService({
    ...{ id: 31, address: NODE_ADDRESS, port: PORT, protocol: 17 },
    ...{ flags: ['HOSTPORT', 'ROUTABLE'], backends: [] },
  })
  const own = await connected(BACKEND, backend.tcp, NODE_ADDRESS)
  expect(await greeted(own, 'from the node')).toBe('from the node')
  own.destroy()
  const asking = await bound(NODE_ADDRESS)
  expect((await udpAsk(asking, BACKEND, backend.udp, true)).name).toBe('backend')
  asking.close()
})
