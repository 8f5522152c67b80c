import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Packet } from '../../agent/cli/simulate/frame.ts'
import { buildFrame, TCP_FLAGS } from '../../agent/cli/simulate/frame.ts'
import type { HookName } from '../../agent/cli/simulate/hooks.ts'
import { listLinks } from '../../agent/cli/simulate/hooks.ts'
import type { Simulation, Trial } from '../../agent/cli/simulate/simulate.ts'
import { simulate, simulateOn } from '../../agent/cli/simulate/simulate.ts'
import { renderSimulation } from '../../agent/cli/simulate/text.ts'
import { address } from './packet.ts'
import { sendFrame } from './run.ts'
import {
  CLIENT,
  LOCAL_BACKEND,
  REMOTE,
  REMOTE_BACKEND,
  REMOTE_BACKEND2,
  toLocal,
  toRemote,
  VIP,
} from './tables/common.ts'
import { REMOTE_NODE, REMOTE_POD } from './tables/dsr.ts'
import { NODE, NODE2, NODE2_MAC, NODE_MAC, PEER_MAC, POD, POD_GATEWAY_MAC, World } from './world.ts'

/** What `weft simulate` says, over maps in every state, beside what becomes of a real packet. */

const WORLD = '203.0.113.9'
const PROTOCOLS = { tcp: 6, udp: 17, icmp: 1 } as const
const MASQUERADES = { cfg_masquerade: true } as const

let world: World
beforeAll(() => {
  world = new World()
})
afterAll(() => world?.close())
beforeEach(() => world.maps.clear())

interface Given {
  readonly hook?: HookName
  readonly flags?: string
  readonly protocol?: keyof typeof PROTOCOLS
  readonly config?: Readonly<Record<string, boolean>>
}

function end(text: string): [host: ReturnType<typeof address>, port: number] {
  const [host = '', port = '0'] = text.split(':')
  return [address(host), Number(port)]
}

function trial(from: string, to: string, given: Given): Trial {
  const { hook = 'ingress', flags = 'S', protocol = 'tcp', config = {} } = given
  const [source, sourcePort] = end(from)
  const [destination, destinationPort] = end(to)
  const packet: Packet = { protocol: PROTOCOLS[protocol], source, destination, sourcePort, destinationPort }
  const [device, mac] = hook === 'pod' ? ['pod0', POD_GATEWAY_MAC] : ['up0', NODE_MAC]
  return {
    packet,
    hook,
    flags: [...flags].reduce((bits, letter) => bits | TCP_FLAGS[letter]!, 0),
    place: { device, mac, ifindex: world.ifindex(hook), program: world.program(hook, config) },
    links: listLinks(),
    now: Number(process.hrtime.bigint() / 1_000_000_000n),
  }
}

const asked = (from: string, to: string, given: Given = {}): Simulation =>
  simulate((name) => world.map(name), trial(from, to, given))

/** The packet itself; what it becomes. */
function sent(from: string, to: string, given: Given = {}): Buffer {
  const { packet, flags, hook, place } = trial(from, to, given)
  return sendFrame(world, hook, buildFrame(packet, place.mac, flags), given.config ?? {})
}

const client = `${CLIENT}:40000`
const service = `${VIP}:80`
const backend = `${REMOTE}:8080`
const peer = { device: 'up0', neighbour: PEER_MAC }

describe('a flow that is not known yet', () => {
  test('has the source port that the packet then gets, also one outside the range', () => {
    world.maps.addService(toRemote)
    world.maps.addBackend(REMOTE_BACKEND)
    const said = asked(`${CLIENT}:1024`, service)
    expect(said).toMatchObject({ verdict: 'forwarded', flow: 'new', backend: { id: 2 }, path: peer })
    const port = sent(`${CLIENT}:1024`, service).readUInt16BE(34)
    expect(said.becomes).toEqual({ source: `${NODE}:${port}`, destination: backend })
  })

  test('leaves with the address of the device by which it goes', () => {
    world.maps.addDevice({ name: 'all', address: NODE, several: true })
    world.maps.addDevice({ name: 'up0', address: NODE })
    world.maps.addDevice({ name: 'up2', address: NODE2 })
    world.maps.addService(toRemote)
    world.maps.addBackend({ ...REMOTE_BACKEND, address: '10.2.0.7' })
    expect(asked(client, service)).toMatchObject({
      becomes: { source: `${NODE2}:40000`, destination: '10.2.0.7:8080' },
      path: { device: listLinks().find((link) => link.address === NODE2_MAC)?.ifname },
    })
  })

  test('of a DSR service goes to the node of its backend, and a neighbour may have to be asked for', () => {
    world.maps.addService({ ...toRemote, forward: 'DSR' })
    world.maps.addBackend(REMOTE_BACKEND)
    // Nobody says that the node takes it.
    expect(asked(client, service)).toMatchObject({ becomes: { source: `${NODE}:40000` }, path: peer })
    world.maps.addPrefix(REMOTE_POD)
    world.maps.addPrefix(REMOTE_NODE)
    const said = asked(client, service)
    expect(said).toMatchObject({
      becomes: { source: client, destination: backend },
      path: { ...peer, node: '172.18.0.3' },
    })
    expect(renderSimulation(said)).toMatch(/Verdict: +forwarded by up0 to \S+, encapsulated to node 172\.18\.0\.3\n/)
    world.maps.addPrefix({ ...REMOTE_POD, tunnel: '172.18.0.9' })
    world.maps.addPrefix({ ...REMOTE_NODE, prefix: '172.18.0.9/32' })
    expect(asked(client, service).path).toEqual({ device: 'up0', node: '172.18.0.9', nextHop: '172.18.0.9' })
  })

  test('finds no backend that may take it, and the ones that only keep what they have', () => {
    world.maps.addService({ ...toRemote, backends: [], kept: [2, 3] })
    world.maps.addBackend({ ...REMOTE_BACKEND, state: 'TERMINATING' })
    world.maps.addBackend(REMOTE_BACKEND2)
    const said = asked(client, service)
    expect(said).toMatchObject({ verdict: 'dropped', reason: 'no-service', told: 'port unreachable', flow: 'none' })
    expect(said.frontend?.kept.map(({ state }) => state)).toEqual(['terminating', 'active'])
    expect(renderSimulation(said)).toMatch(/Kept: +10\.1\.0\.190:8080\/TCP id 2 terminating\n/)
    expect(said.notes[0]).toContain('10.1.0.190:8080/TCP (terminating), 10.1.1.41:8080/TCP (active)')
  })

  test('of a client that is kept out', () => {
    world.maps.addService({ ...toRemote, flags: ['LB', 'ROUTABLE', 'SRC_CHECK', 'SRC_DENY'] })
    world.maps.addBackend(REMOTE_BACKEND)
    world.maps.addSourceRange(1, '192.0.2.0/28')
    expect(asked(client, service)).toMatchObject({ verdict: 'dropped', reason: 'not-in-source-range' })
    expect(asked('192.0.2.16:40000', service)).toMatchObject({ verdict: 'forwarded' })
  })
})

describe('a known flow', () => {
  beforeEach(() => {
    world.maps.addService(toRemote)
    world.maps.addBackend(REMOTE_BACKEND)
    sent(client, service)
  })

  test('is said to be known, with its backend, and how long it has', () => {
    sent(client, service, { flags: 'A' })
    const said = asked(client, service, { flags: 'A' })
    expect(said).toMatchObject({
      ...{ verdict: 'forwarded', flow: 'known', path: peer, notes: [] },
      known: { flags: ['snat', 'established'] },
      frontend: { address: `${service}/TCP` },
      backend: { id: 2, address: `${backend}/TCP`, state: 'active' },
      becomes: { source: `${NODE}:40000`, destination: backend },
    })
    expect(said.known?.expiresIn).toBeGreaterThan(7000)
    expect(renderSimulation(said)).toMatch(/^Flow: +known \[snat, established\], for another \d+ s$/m)
  })

  test('in the other direction', () => {
    expect(asked(backend, `${NODE}:40000`, { flags: 'SA' })).toMatchObject({
      ...{ verdict: 'forwarded', flow: 'known', frontend: { id: 1 }, backend: { id: 2 } },
      becomes: { source: service, destination: client },
    })
  })

  test('whose backend gets no new ones goes on, and says so', () => {
    world.maps.addService({ ...toRemote, backends: [3], kept: [2] })
    world.maps.addBackend({ ...REMOTE_BACKEND, state: 'TERMINATING' })
    world.maps.addBackend(REMOTE_BACKEND2)
    const said = asked(client, service, { flags: 'A' })
    expect(said).toMatchObject({ flow: 'known', backend: { id: 2, state: 'terminating' } })
    expect(said.notes.join()).toContain('keeps the flows it has')
    const again = asked(client, service, { flags: 'S' })
    expect(again).toMatchObject({ flow: 'new', backend: { id: 3 } })
    expect(again.notes.join()).toContain('its backend is terminating and gets no new connections')
  })

  test('whose backend is gone, or whose client had ended it, begins anew', () => {
    sent(client, service, { flags: 'FA' })
    expect(asked(client, service, { flags: 'A' })).toMatchObject({ flow: 'known' })
    expect(asked(client, service).notes.join()).toContain('its sender had ended it')
    world.maps.addService({ ...toRemote, backends: [3] })
    world.maps.addBackend(REMOTE_BACKEND2)
    world.maps.removeBackend(2)
    const said = asked(client, service, { flags: 'A' })
    expect(said).toMatchObject({ flow: 'new', backend: { id: 3 } })
    expect(said.notes.join()).toContain('its backend is gone')
  })

  test('that is over is not known', () => {
    world.maps.editFlows((_, flow) => ({ ...flow, expires: 1 }))
    expect(asked(client, service)).toMatchObject({ flow: 'new' })
    expect(asked(backend, `${NODE}:40000`, { flags: 'A' })).toMatchObject({ flow: 'none', verdict: 'not-ours' })
  })

  test('by DSR names the node again', () => {
    world.maps.clear()
    world.maps.addService({ ...toRemote, forward: 'DSR' })
    world.maps.addBackend(REMOTE_BACKEND)
    world.maps.addPrefix(REMOTE_POD)
    world.maps.addPrefix(REMOTE_NODE)
    sent(client, service)
    expect(asked(client, service, { flags: 'A' })).toMatchObject({
      ...{ flow: 'known', known: { flags: ['dsr'] } },
      ...{ becomes: { source: client, destination: backend }, path: { node: '172.18.0.3' } },
    })
  })
})

describe('at XDP', () => {
  const hook = 'xdp'

  test('new and known, forwarded, delivered, and left to tc', () => {
    world.maps.addService(toRemote)
    world.maps.addBackend(REMOTE_BACKEND)
    const becomes = { source: `${NODE}:40000`, destination: backend }
    expect(asked(client, service, { hook })).toMatchObject({ verdict: 'forwarded', flow: 'new', becomes, path: peer })
    sent(client, service)
    expect(asked(client, service, { hook })).toMatchObject({ verdict: 'forwarded', flow: 'known', becomes, path: peer })
    world.maps.clear()
    world.maps.addService(toLocal)
    world.maps.addBackend(LOCAL_BACKEND)
    world.maps.addEndpoint(POD)
    const delivered = { verdict: 'to-stack', becomes: { source: client, destination: `${POD}:8080` } }
    expect(asked(client, service, { hook })).toMatchObject(delivered)
    world.maps.clear()
    world.maps.addService(toRemote)
    world.maps.addBackend({ ...REMOTE_BACKEND, address: '10.9.0.7' })
    const left = asked(client, service, { hook })
    expect(left).toMatchObject({ verdict: 'left-to-tc' })
    expect(left.notes.join()).toContain('--hook ingress')
    expect(asked(client, service)).toMatchObject({ path: { device: 'up0', nextHop: '172.18.0.9' } })
  })
})

describe('from a pod', () => {
  const hook = 'pod'
  const pod = `${POD}:40000`
  beforeEach(() => world.maps.addEndpoint(POD))

  test('to a service: the view for inside, the pod keeps its address; known afterwards', () => {
    world.maps.addService({ ...toRemote, id: 1, flags: ['LB', 'ROUTABLE', 'ETP_LOCAL', 'TWO_SCOPES'], backends: [] })
    world.maps.addService({ ...toRemote, id: 2, scope: 'INT', flags: ['LB', 'ROUTABLE', 'ETP_LOCAL', 'TWO_SCOPES'] })
    world.maps.addBackend(REMOTE_BACKEND)
    const becomes = { source: pod, destination: backend }
    const said = asked(pod, service, { hook })
    expect(said).toMatchObject({
      ...{ verdict: 'to-stack', flow: 'new', becomes },
      frontend: { id: 2 },
      interface: 'pod0',
    })
    sent(pod, service, { hook })
    expect(asked(pod, service, { hook })).toMatchObject({ flow: 'known', known: { flags: ['client-here'] }, becomes })
    const answer = asked(backend, pod, { flags: 'SA' })
    expect(answer).toMatchObject({ verdict: 'not-ours' })
    expect(answer.notes.join()).toContain("as it leaves by the pod's device")
  })

  test('to itself by a service, and without a backend', () => {
    world.maps.addService(toLocal)
    world.maps.addBackend(LOCAL_BACKEND)
    const said = asked(pod, service, { hook })
    const becomes = { source: '169.254.42.1:40000', destination: `${POD}:8080` }
    expect(said).toMatchObject({ verdict: 'forwarded', becomes, path: { device: 'pod0' } })
    expect(said.notes.join()).toContain('its own backend')
    world.maps.addService({ ...toLocal, backends: [] })
    expect(asked(pod, service, { hook })).toMatchObject({
      ...{ verdict: 'dropped', reason: 'no-service', told: 'port unreachable', frontend: { id: 1 } },
    })
  })

  test('an answer to a client outside leaves with the address of the service', () => {
    world.maps.addService(toLocal)
    world.maps.addBackend(LOCAL_BACKEND)
    sent(client, service)
    expect(asked(`${POD}:8080`, client, { hook, flags: 'SA' })).toMatchObject({
      ...{ verdict: 'forwarded', flow: 'known', becomes: { source: service, destination: client } },
    })
    const outside = asked(`${POD}:8080`, client, { flags: 'SA' })
    expect(outside).toMatchObject({ verdict: 'not-ours' })
    expect(outside.notes.join()).toContain('--hook pod')
  })

  test('to an external address that this node has not', () => {
    world.maps.addService({ ...toRemote, flags: ['EXT_IP', 'ROUTABLE'] })
    world.maps.addBackend(REMOTE_BACKEND)
    expect(asked(pod, service, { hook }).notes.join()).toContain('a node alone that has the address')
  })
})

describe('what leaves', () => {
  const hook = 'egress'
  const config = MASQUERADES
  const pod = `${POD}:1024`
  const out = `${WORLD}:443`
  beforeEach(() => world.maps.addEndpoint(POD))

  test.each(['tcp', 'udp', 'icmp'] as const)('%s of a pod has the address of the node', (protocol) => {
    const ports = protocol === 'icmp' ? '' : ':443'
    const said = asked(pod, `${WORLD}${ports}`, { hook, config, protocol })
    expect(said).toMatchObject({ verdict: 'forwarded', flow: 'new', path: { device: 'up0' } })
    expect(said.notes.join()).toContain('bpf.masquerade')
    const frame = sent(pod, `${WORLD}${ports}`, { hook, config, protocol })
    expect(said.becomes?.source).toBe(`${NODE}:${frame.readUInt16BE(protocol === 'icmp' ? 38 : 34)}`)
    expect(asked(pod, `${WORLD}${ports}`, { hook, config, protocol, flags: 'A' })).toMatchObject({
      ...{
        flow: 'known',
        becomes: said.becomes,
        known: { flags: expect.arrayContaining(['snat', 'masq']) as string[] },
      },
    })
    if (protocol === 'icmp') return
    const back = asked(out, said.becomes!.source, { protocol, flags: 'SA', config })
    expect(back).toMatchObject({ verdict: 'to-stack', flow: 'known', becomes: { source: out, destination: pod } })
  })

  test('stays as it is where masquerading is off, or the destination knows pods', () => {
    expect(asked(pod, out, { hook })).toMatchObject({ verdict: 'not-ours', flow: 'none' })
    world.maps.addIpcache('203.0.113.0/24', 131072, '172.18.0.3')
    expect(asked(pod, out, { hook, config })).toMatchObject({ verdict: 'not-ours' })
  })

  test('is followed from the pod, by a service to a backend that knows no pods', () => {
    world.maps.addService(toRemote)
    world.maps.addBackend({ ...REMOTE_BACKEND, address: WORLD })
    const first = trial(pod, service, { hook: 'pod', config })
    const { place } = trial(pod, service, { hook, config })
    const open = (name: string): ReturnType<World['map']> => world.map(name)
    const said = simulate(open, first)
    expect(said).toMatchObject({ verdict: 'to-stack', becomes: { source: pod, destination: `${WORLD}:8080` } })
    const [destination] = end(WORLD)
    const after = { ...first.packet, destination, destinationPort: 8080 }
    const way = { device: 'up0', egress: place }
    expect(simulateOn(open, first, said, after, way)).toMatchObject({
      ...{ hook: 'pod', interface: 'pod0', source: pod, destination: service, verdict: 'forwarded', flow: 'new' },
      ...{ frontend: { id: 1 }, backend: { id: 2 }, path: { device: 'up0' } },
      becomes: { source: expect.stringMatching(`^${NODE}:`) as string, destination: `${WORLD}:8080` },
    })
    expect(simulateOn(open, first, said, after, { device: 'eth9' })).toMatchObject({
      ...{ verdict: 'to-stack', path: { device: 'eth9' } },
    })
  })
})
