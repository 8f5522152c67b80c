import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { udpAsk } from './sockets.ts'
import { BACKEND, VIP, Wire } from './wire.ts'

/*
 * Checksums with real stacks at both ends. With `tx` on at an end its packets reach the node unfinished (CHECKSUM_PARTIAL),
 * and with `tx` off at the node they must be right when they leave it, because the other end then checks them.
 */

let wire: Wire | undefined

function theWire(): Wire {
  if (wire === undefined) throw new Error('the wire was not made')
  return wire
}

beforeAll(async () => {
  wire = new Wire()
  await wire.serve()
})

afterAll(() => wire?.close())

async function echo(payload: string): Promise<string> {
  const socket = connect({ host: VIP, port: 80 })
  await once(socket, 'connect')
  socket.end(payload)
  return text(socket)
}

const MEGABYTE = 'weft'.repeat(1 << 18)

describe.each([
  { ends: 'on', node: 'off' },
  { ends: 'on', node: 'on' },
  { ends: 'off', node: 'on' },
  { ends: 'off', node: 'off' },
] as const)('checksum offload $ends at the ends, $node at the node', ({ ends, node }) => {
  beforeAll(() => theWire().offload(ends, node))

  it.each(['elsewhere', 'here'])('TCP and UDP to a backend %s', async (where) => {
    const { maps } = theWire()
    maps.editFlows(() => undefined)
    if (where === 'here') maps.addEndpoint(BACKEND)
    else maps.removeEndpoint(BACKEND)
    await theWire().inside('client', async () => {
      expect((await echo(MEGABYTE)) === MEGABYTE).toBe(true)
      const socket = createSocket('udp4')
      expect(await udpAsk(socket, VIP, 80)).toEqual({ name: 'backend', peer: `${VIP}:80` })
      socket.close()
    })
    const marks = where === 'here' ? 'LOCAL' : 'SNAT'
    expect(maps.flowLines().filter((line) => line.includes(` ${marks} `))).toHaveLength(4)
  })
})
