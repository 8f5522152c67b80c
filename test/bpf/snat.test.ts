import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { PlainSocket, SocketOption } from '../../native/index.ts'
import { eventually } from '../eventually.ts'
import { build } from './packet.ts'
import { BACKEND, CLIENT, NODE, POD, Roads, VIP, VIP2 } from './roads.ts'
import { AT_WAY, servedRoads, WAYS } from './ways.ts'

/** Source ports, between stacks that would notice if two flows shared one. */

const opened: Socket[] = []

function open(host: string, localAddress = CLIENT, localPort = 0): Socket {
  const socket = connect({ host, port: 80, localAddress, localPort })
  opened.push(socket)
  return socket
}

/** Send a line and read it back. */
async function ask(socket: Socket, line: string): Promise<void> {
  const answer = once(socket, 'data', { signal: AbortSignal.timeout(5000) }) as Promise<[Buffer]>
  socket.write(line)
  expect((await answer)[0].toString()).toBe(line)
}

afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy()
})

describe.each(WAYS)(AT_WAY, (way) => {
  let roads: Roads

  beforeAll(async () => {
    roads = await servedRoads(way)
  })
  beforeEach(() => roads.forget())
  afterAll(() => roads.close())

  describe.each([
    { where: 'elsewhere', port: 45_678 },
    { where: 'here', port: 45_679 },
  ] as const)('backend $where', ({ where, port }) => {
    beforeEach(() => {
      roads.service(where, VIP)
      roads.service(where, VIP2)
    })

    it('two services with one backend, one client port, at once: TCP', async () => {
      await roads.inside('client', async () => {
        const sockets = [VIP, VIP2].map((host) => open(host, CLIENT, port))
        await Promise.all(sockets.map((socket) => once(socket, 'connect')))
        for (const round of [1, 2]) {
          await Promise.all(sockets.map((socket, i) => ask(socket, `round ${round} of ${i}`)))
        }
      })
    })

    it('the same: UDP, each answer from the address that was asked', async () => {
      await roads.inside('client', async () => {
        const socket = createSocket('udp4')
        const answers: string[] = []
        socket.on('message', (message, from) => answers.push(`${message.toString()} ${from.address}:${from.port}`))
        for (const host of [VIP, VIP2]) socket.send(`asked ${host}`, 80, host)
        await eventually(() => expect(answers).toHaveLength(2))
        expect(answers.sort()).toEqual([VIP, VIP2].map((host) => `asked ${host} ${host}:80`))
        socket.close()
      })
    })

    it('UDP without a checksum has none at the other end, there and back', async () => {
      const backend = where === 'here' ? POD : BACKEND
      const space = where === 'here' ? 'pod' : 'backend'
      const seen = roads.in(space, () => PlainSocket.raw('udp'))
      await roads.inside('client', async () => {
        const { fd } = PlainSocket.datagram().setOption(SocketOption.SO_NO_CHECK, 1)
        const back = PlainSocket.raw('udp')
        const socket = createSocket('udp4')
        socket.bind({ fd })
        const answer = once(socket, 'message', { signal: AbortSignal.timeout(3000) })
        socket.send('unsummed', 80, VIP)
        await answer
        const request = await eventually(() => seen.receive() ?? false)
        expect(request.readUInt16BE(26)).toBe(0)
        expect(back.receive()?.readUInt16BE(26)).not.toBe(0)

        // The same answer again, without.
        const dport = request.readUInt16BE(20)
        const dst = where === 'here' ? CLIENT : NODE
        const packet = build({ src: backend, dst, proto: 'udp', sport: 8080, dport, noChecksum: true })
        roads.in(space, () => {
          const sender = PlainSocket.rawSender()
          sender.send(packet.subarray(14))
          sender.close()
        })
        const answered = await eventually(() => back.receive() ?? false)
        expect(answered.subarray(28).toString()).toBe('weft')
        expect(answered.readUInt16BE(26)).toBe(0)
        socket.close()
        back.close()
      })
      seen.close()
    })
  })
})

describe.each(['tc', 'xdp'] as const)('at %s, when 16 ports are all there are', (mode) => {
  let roads: Roads

  beforeAll(async () => {
    const config = { cfg_snat_port_min: 60_000, cfg_snat_port_max: 60_015, cfg_tcp_closing_s: 1 }
    roads = new Roads(mode, { config })
    await roads.serve()
    roads.service('elsewhere')
    roads.sh('client', 'for i in $(seq 11 14); do ip addr add 192.0.2.$i/24 dev c0; done')
  })
  afterAll(() => roads.close())

  it('clients beyond them are dropped by name, the others go on, and who waits gets a port that becomes free', async () => {
    await roads.inside('client', async () => {
      const clients = [10, 11, 12, 13].map((host) => `192.0.2.${host}`)
      const held = Array.from({ length: 16 }, (_, i) => open(VIP, clients[i % 4]))
      await Promise.all(held.map((socket) => once(socket, 'connect')))
      expect(roads.counted('DROP_NAT_NO_MAPPING')).toBe(0)

      const late = open(VIP, '192.0.2.14')
      await eventually(() => expect(roads.counted('DROP_NAT_NO_MAPPING')).toBe(1))
      for (const [i, socket] of held.entries()) await ask(socket, `still ${i}`)
      const ports = new Set(
        roads.maps.flows().flatMap(([key]) => (key.destinationPort === 80 ? [] : key.destinationPort)),
      )
      expect(ports.size).toBe(16)

      const ended = held.splice(0, 1)[0]!
      ended.end()
      await once(ended, 'close')
      // Its next SYN, or the one after it.
      await once(late, 'connect', { signal: AbortSignal.timeout(10_000) })
      await ask(late, 'late')
      for (const [i, socket] of held.entries()) await ask(socket, `at last ${i}`)
    })
  })
})
