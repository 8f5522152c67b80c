import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { IPCACHE_MAP, ipcacheKey, ipcacheValue, RESERVED_IDENTITIES } from '../../agent/maps/ipcache.ts'
import { REVNAT_MAP, revNatValue } from '../../agent/maps/revnat.ts'
import { BpfError, BpfObject } from '../../native/index.ts'
import { eventually } from '../eventually.ts'
import type { ServiceSpec } from './maps.ts'
import { address } from './packet.ts'
import { portOf, tcpAsk, tcpServer, udpAsk, udpServer } from './sockets.ts'
import { SocketWorld } from './socket-world.ts'
import { type Config, objectPath } from './world.ts'

const VIP = '10.96.0.10'
const NODE = '172.18.0.2'
const PEER_NODE = '172.18.0.3'
const POD = '10.0.0.46'
const POD2 = '10.0.0.47'
const UDP = 17

const open: { close(): unknown }[] = []

afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close()
})

function later<T extends { close(): unknown }>(thing: T): T {
  open.push(thing)
  return thing
}

function world(config: Config = {}): SocketWorld {
  return later(new SocketWorld(config))
}

/** A service with one server per address behind it. */
async function serve(
  node: SocketWorld,
  protocol: number,
  hosts: readonly string[],
  service: Partial<ServiceSpec> = {},
) {
  const ids: number[] = []
  for (const [i, host] of hosts.entries()) {
    const server = later(protocol === UDP ? await udpServer(host, host) : await tcpServer(host, host))
    node.maps.addBackend({ id: i + 1, address: host, port: portOf(server), protocol })
    ids.push(i + 1)
  }
  node.maps.addService({ id: 7, address: VIP, protocol, flags: ['CLUSTER_IP'], backends: ids, ...service })
}

describe('TCP', () => {
  it('reaches a backend and believes to talk to the service', async () => {
    const node = world()
    await serve(node, 6, [POD])
    expect(await tcpAsk(VIP, 80)).toEqual({ name: POD, peer: `${VIP}:80` })
  })

  it('spreads connections over the backends', async () => {
    const node = world()
    await serve(node, 6, [POD, POD2])
    const names = new Set<string>()
    for (let i = 0; i < 40; i++) names.add((await tcpAsk(VIP, 80)).name)
    expect(names).toEqual(new Set([POD, POD2]))
  })

  it('goes to one backend only, with affinity', async () => {
    const node = world()
    await serve(node, 6, [POD, POD2], { flags: ['CLUSTER_IP', 'AFFINITY'], affinitySeconds: 100 })
    const names = new Set<string>()
    for (let i = 0; i < 20; i++) names.add((await tcpAsk(VIP, 80)).name)
    expect(names.size).toBe(1)
  })

  it('fails with EHOSTUNREACH when there is no backend', async () => {
    const node = world()
    await serve(node, 6, [])
    await expect(tcpAsk(VIP, 80)).rejects.toMatchObject({ code: 'EHOSTUNREACH' })
    expect(node.maps.counters().get('DROP_NO_SERVICE')?.packets).toBe(1)
  })

  it('fails with EPERM where the kernel lets a program give no error of its own', async () => {
    const node = world({ cfg_set_retval: false })
    await serve(node, 6, [])
    await expect(tcpAsk(VIP, 80)).rejects.toMatchObject({ code: 'EPERM' })
  })

  it('leaves other destinations alone', async () => {
    const node = world()
    await serve(node, 6, [POD])
    const server = later(await tcpServer('direct', POD2))
    expect(await tcpAsk(POD2, portOf(server))).toEqual({ name: 'direct', peer: `${POD2}:${portOf(server)}` })
  })

  it('is forgotten when the socket is closed', async () => {
    const node = world()
    await serve(node, 6, [POD])
    const socket = connect({ host: VIP, port: 80 })
    await once(socket, 'connect')
    expect(node.remembered()).toBe(1)
    socket.destroy()
    await eventually(() => expect(node.remembered()).toBe(0))
  })

  it('asks the inside view where there are two', async () => {
    const node = world()
    await serve(node, 6, [POD, POD2], { backends: [1], flags: ['LB', 'ROUTABLE', 'TWO_SCOPES'] })
    node.maps.addService({ id: 8, address: VIP, scope: 'INT', flags: ['LB', 'TWO_SCOPES'], backends: [2] })
    expect((await tcpAsk(VIP, 80)).name).toBe(POD2)
  })

  it('believes an external address only where it is the node’s own', async () => {
    const node = world()
    await serve(node, 6, [POD], { address: NODE, flags: ['EXT_IP', 'ROUTABLE'] })
    await expect(tcpAsk(NODE, 80)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    node.maps.addEndpoint(NODE, true)
    expect((await tcpAsk(NODE, 80)).name).toBe(POD)
  })
})

describe('NodePort', () => {
  const nodePort = { address: '0.0.0.0', port: 30080, flags: ['NODEPORT'] } as const

  it('is answered on own addresses, loopback and other nodes, under the address that was asked', async () => {
    const node = world()
    await serve(node, 6, [POD], nodePort)
    node.maps.addEndpoint(NODE, true)
    node.maps.put(IPCACHE_MAP.name, ipcacheKey, { address: address(PEER_NODE), bits: 32 }, ipcacheValue, {
      identity: RESERVED_IDENTITIES.REMOTE_NODE,
      tunnel: undefined,
      clusterId: 2,
      remoteCluster: true,
      isNode: true,
      takesDsr: false,
    })
    for (const host of [NODE, '127.0.0.1', PEER_NODE]) {
      expect(await tcpAsk(host, 30080)).toEqual({ name: POD, peer: `${host}:30080` })
    }
  })

  it('is not answered on pod addresses', async () => {
    const node = world()
    await serve(node, 6, [POD], nodePort)
    node.maps.addEndpoint(POD2)
    await expect(tcpAsk(POD2, 30080)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('is not answered on the loopback of a pod', async () => {
    const node = world({ cfg_host_netns_cookie: 1n })
    await serve(node, 6, [POD], nodePort)
    await expect(tcpAsk('127.0.0.1', 30080)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('is looked for in its range only', async () => {
    const node = world({ cfg_nodeport_min: 30081 })
    await serve(node, 6, [POD], nodePort)
    node.maps.addEndpoint(NODE, true)
    await expect(tcpAsk(NODE, 30080)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})

describe('hostPort on the loopback address', () => {
  const hostPort = { address: '127.0.0.1', port: 8080, flags: ['HOSTPORT', 'HOSTPORT_LOOPBACK'] } as const

  it('is answered for processes of the node', async () => {
    const node = world()
    await serve(node, 6, [POD], hostPort)
    expect(await tcpAsk('127.0.0.1', 8080)).toEqual({ name: POD, peer: '127.0.0.1:8080' })
  })

  it("is not what a pod's own loopback means", async () => {
    const node = world({ cfg_host_netns_cookie: 1n })
    await serve(node, 6, [POD], hostPort)
    await expect(tcpAsk('127.0.0.1', 8080)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})

describe('UDP', () => {
  it('answers come from the service, whether the socket is connected or not', async () => {
    const node = world()
    await serve(node, UDP, [POD])
    for (const connected of [false, true]) {
      const socket = later(createSocket('udp4'))
      expect(await udpAsk(socket, VIP, 80, connected)).toEqual({ name: POD, peer: `${VIP}:80` })
    }
  })

  it('all datagrams of a socket go to one backend', async () => {
    const node = world()
    await serve(node, UDP, [POD, POD2])
    const socket = later(createSocket('udp4'))
    const names = new Set<string>()
    for (let i = 0; i < 10; i++) names.add((await udpAsk(socket, VIP, 80)).name)
    expect(names.size).toBe(1)
    expect(node.remembered()).toBe(1)
  })

  it('fails with EHOSTUNREACH when there is no backend', async () => {
    const node = world()
    await serve(node, UDP, [])
    await expect(udpAsk(later(createSocket('udp4')), VIP, 80)).rejects.toMatchObject({ code: 'EHOSTUNREACH' })
  })

  it('an answer is not renamed after a service that is gone', async () => {
    const node = world()
    await serve(node, UDP, [POD])
    const socket = later(createSocket('udp4'))
    await udpAsk(socket, VIP, 80)
    const id = Buffer.alloc(4)
    id.writeUInt32LE(7)
    node.map(REVNAT_MAP.name).update(id, Buffer.alloc(revNatValue.size))
    const answer = await udpAsk(socket, VIP, 80)
    expect(answer.name).toBe(POD)
    expect(answer.peer.startsWith(`${POD}:`)).toBe(true)
    expect(node.remembered()).toBe(0)
  })
})

it('an unknown configuration variable is refused by name', () => {
  expect(() => BpfObject.open(objectPath('weft_sock'), { rodata: { cfg_nonsense: 1 } })).toThrow(BpfError)
})
