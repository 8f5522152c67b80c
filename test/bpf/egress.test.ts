import { once } from 'node:events'
import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BACKEND, CLIENT, NODE, POD, Roads, VIP } from './roads.ts'

/** Real sockets of a pod and of the node: what leaves them, and who answers. */

const PORT = 9000

let roads: Roads
let sockets: { close(): unknown }[]

/** The address that somebody outside sees a TCP client come from, and what the client sees of its peer. */
async function tcpFrom(space: 'pod' | 'node', host: string, port: number): Promise<string> {
  return roads.inside(space, async () => {
    const socket: Socket = connect({ host, port })
    try {
      await once(socket, 'connect')
      socket.write('who')
      const [data] = (await once(socket, 'data')) as [Buffer]
      return data.toString()
    } finally {
      socket.destroy()
    }
  })
}

async function udpFrom(space: 'pod' | 'node', host: string, port: number): Promise<string> {
  return roads.inside(space, async () => {
    const socket = createSocket('udp4')
    try {
      socket.connect(port, host)
      await once(socket, 'connect')
      socket.send('who')
      const [data] = (await once(socket, 'message')) as [Buffer]
      return data.toString()
    } finally {
      socket.close()
    }
  })
}

/** Servers that answer with the address they see. */
async function tellers(space: 'client' | 'backend', host: string): Promise<void> {
  await roads.inside(space, async () => {
    const tcp = createServer((socket) => {
      const { address } = { address: socket.remoteAddress ?? '' }
      socket.on('error', () => socket.destroy()).on('data', () => socket.end(address))
    })
    tcp.listen(PORT, host)
    await once(tcp, 'listening')
    const udp = createSocket('udp4')
    udp.on('message', (_, from: AddressInfo) => udp.send(from.address, from.port, from.address))
    udp.bind(PORT, host)
    await once(udp, 'listening')
    sockets.push(tcp, udp)
  })
}

beforeAll(async () => {
  sockets = []
  roads = new Roads('tc', { config: { cfg_masquerade: true, cfg_masq_list: true } })
  await roads.serve()
  roads.maps.addEndpoint(NODE, true)
  roads.maps.addUnmasqueraded('10.1.0.0/16')
  roads.sh('client', `ip route add 10.0.0.0/24 via 192.0.2.1`)
  roads.sh('near', `ip route add 10.0.0.0/24 via ${NODE}`)
  await tellers('client', CLIENT)
  await tellers('backend', BACKEND)
})

afterAll(() => {
  for (const socket of sockets) socket.close()
  roads.close()
})

describe('masquerading', () => {
  it('the world sees the node, over TCP and UDP', async () => {
    expect(await tcpFrom('pod', CLIENT, PORT)).toBe(NODE)
    expect(await udpFrom('pod', CLIENT, PORT)).toBe(NODE)
  })

  it('destinations of the list see the pod', async () => {
    expect(await tcpFrom('pod', BACKEND, PORT)).toBe(POD)
    expect(await udpFrom('pod', BACKEND, PORT)).toBe(POD)
  })

  it('ping finds its way back', () => {
    roads.sh('pod', `ping -c1 -W5 ${CLIENT} >/dev/null`)
  })

  it('who talks to the pod by its own address is answered by it', async () => {
    await roads.inside('client', async () => {
      const socket = connect({ host: POD, port: 8080 })
      await once(socket, 'connect')
      socket.write('echo')
      const [data] = (await once(socket, 'data')) as [Buffer]
      expect(data.toString()).toBe('echo')
      socket.destroy()
    })
  })
})

describe('services by packets', () => {
  it.each(['pod', 'node'] as const)('the %s reaches a backend elsewhere, over TCP and UDP', async (space) => {
    roads.service('elsewhere')
    expect(await tcpFrom(space, VIP, 80)).toBe('who')
    expect(await udpFrom(space, VIP, 80)).toBe('who')
  })

  it('the node reaches a backend in its pod', async () => {
    roads.service('here')
    roads.forget()
    expect(await tcpFrom('node', VIP, 80)).toBe('who')
    expect(await udpFrom('node', VIP, 80)).toBe('who')
  })

  it('a pod is its own backend', async () => {
    roads.service('here')
    roads.forget()
    expect(await tcpFrom('pod', VIP, 80)).toBe('who')
    expect(await udpFrom('pod', VIP, 80)).toBe('who')
    expect(roads.maps.flowLines().some((line) => line.includes('169.254.42.1'))).toBe(true)
  })

  it.each(['pod', 'node'] as const)('without a backend the %s hears it at once', async (space) => {
    roads.service('nowhere')
    roads.forget()
    await expect(tcpFrom(space, VIP, 80)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})
