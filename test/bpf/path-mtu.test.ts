import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { IP_PMTUDISC_DO, PlainSocket, SocketOption } from '../../native/index.ts'
import { eventually } from '../eventually.ts'
import { BACKEND, CLIENT, POD, type Roads, type Space, VIP } from './roads.ts'
import { AT_WAY, BOTH, HALF_OFFLOADED, OFFLOADED, servedRoads, XDP } from './ways.ts'

/*
 * A way that is narrower in its middle, where neither end knows of it but by an ICMP error that finds its way back through the
 * service: big segments that meet it are lost until then.
 */

const MEGABYTE = 'weft'.repeat(1 << 18)

/** Up and down at once. */
async function echo(payload: string): Promise<string> {
  const socket = connect({ host: VIP, port: 80 })
  socket.setTimeout(3000, () => socket.destroy(new Error(`silence after ${socket.bytesRead} bytes`)))
  await once(socket, 'connect')
  socket.end(payload)
  return text(socket)
}

/** Where it is narrow: what makes it so, and undoes it. */
interface Narrow {
  readonly name: string
  readonly space: Space
  readonly make: string
  readonly undo: string
  /** The other end of a link. */
  readonly far?: readonly [Space, string]
}

const narrowRoute = (name: string, space: Space, route: string): Narrow => ({
  name,
  space,
  make: `ip route replace ${route} mtu lock 1400`,
  undo: `ip route del ${route} mtu lock 1400`,
})

const TO_CLIENT = narrowRoute('at the router before the client', 'near', `${CLIENT} dev r0`)
const FROM_CLIENT = narrowRoute('at the router before the node', 'near', `${VIP} via 172.18.0.2`)
const TO_BACKEND = narrowRoute('at the router before the backend', 'far', `${BACKEND} dev f1`)
const FROM_BACKEND = narrowRoute('at the router behind the backend', 'far', '172.18.0.2 via 172.18.1.2')
const TO_POD = {
  ...narrowRoute('at the node before its pod', 'node', `${POD} dev p0`),
  undo: `ip route replace ${POD} dev p0`,
}
/** Both ends of a link always agree on its MTU. */
const narrowLink = (name: string, device: string, far: readonly [Space, string]): Narrow => ({
  name,
  space: 'node',
  make: `ip link set ${device} mtu 1400`,
  undo: `ip link set ${device} mtu 1500`,
  far,
})
const NODE_TO_CLIENT = narrowLink('at the node, towards the client', 'n0', ['near', 'r1'])
const NODE_TO_BACKEND = narrowLink('at the node, towards the backend', 'n1', ['far', 'f0'])
const NODE_ROUTE = narrowRoute('at the node, by a route to the backend', 'node', `${BACKEND} via 172.18.1.1`)

describe.each([OFFLOADED, HALF_OFFLOADED, XDP, BOTH])(AT_WAY, (way) => {
  let roads: Roads
  let undo: (() => void) | undefined

  function narrow({ space, make, undo: back, far }: Narrow): void {
    const setFar = (mtu: number) => far !== undefined && roads.sh(far[0], `ip link set ${far[1]} mtu ${mtu}`)
    roads.forget()
    roads.sh(space, make)
    setFar(1400)
    undo = () => {
      roads.sh(space, back)
      setFar(1500)
    }
  }

  beforeAll(async () => {
    roads = await servedRoads(way)
  })
  afterEach(() => {
    undo?.()
    undo = undefined
  })
  afterAll(() => roads.close())

  describe.each([
    {
      where: 'elsewhere',
      narrows: [TO_CLIENT, FROM_CLIENT, TO_BACKEND, FROM_BACKEND, NODE_TO_CLIENT, NODE_TO_BACKEND, NODE_ROUTE],
    },
    { where: 'here', narrows: [TO_CLIENT, FROM_CLIENT, TO_POD, NODE_TO_CLIENT] },
  ] as const)('backend $where', ({ where, narrows }) => {
    it.each(narrows)(
      'a megabyte of TCP, narrow $name',
      async (at) => {
        roads.service(where)
        narrow(at)
        await roads.inside('client', async () => expect((await echo(MEGABYTE)) === MEGABYTE).toBe(true))
      },
      8000,
    )

    it.each(narrows.filter((at) => at !== TO_CLIENT && at !== FROM_BACKEND && at !== NODE_TO_CLIENT))(
      'a datagram that may not be fragmented, narrow $name',
      async (at) => {
        roads.service(where)
        narrow(at)
        await roads.inside('client', async () => {
          const { fd } = PlainSocket.datagram().setOption(SocketOption.IP_MTU_DISCOVER, IP_PMTUDISC_DO)
          const socket = createSocket('udp4')
          const errors: Error[] = []
          socket.on('error', (error) => errors.push(error))
          socket.bind({ fd })
          socket.connect(80, VIP)
          await once(socket, 'connect')
          const send = (length: number) =>
            new Promise<Error | null>((resolve) => socket.send(Buffer.alloc(length, 1), resolve))
          await eventually(async () => expect(await send(1472)).toMatchObject({ code: 'EMSGSIZE' }), {
            timeoutMs: 3000,
          })
          const answer = once(socket, 'message', { signal: AbortSignal.timeout(3000) }) as Promise<[Buffer]>
          // An error that came in between is told once more.
          await eventually(async () => expect(await send(1372)).toBeNull())
          expect((await answer)[0]).toHaveLength(1372)
          socket.close()
        })
      },
    )
  })
})
