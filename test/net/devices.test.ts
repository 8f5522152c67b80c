import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import { AgentHost, type RunningAgent } from './agent-process.ts'
import type { Neighbour } from './neighbour.ts'
import { published } from './published.ts'
import { Sandbox, SANDBOX_BPFFS } from './sandbox.ts'
import { nodePortService } from './services.ts'

const CLIENT = '10.50.0.1'
const NODE = '10.50.0.2'
const BACKEND = '10.60.0.1'
const NODE_AT_BACKEND = '10.60.0.2'
const LATER = '10.70.0.1'
const TAGGED = '10.80.0.1'

let sandbox: Sandbox
let host: AgentHost
let agent: RunningAgent
let client: Neighbour
let backend: Neighbour

const join = (device: string, own: string, theirs: string): Promise<Neighbour> =>
  sandbox.join(device, `${own}/24`, `${theirs}/24`)

beforeAll(async () => {
  sandbox = await Sandbox.start()
  client = await join('up0', CLIENT, NODE)
  backend = await join('up1', BACKEND, NODE_AT_BACKEND)
  await backend.serve(8080, 'one')
  host = await AgentHost.create(sandbox)
  await host.apply(
    'services',
    ...nodePortService({ name: 'one', nodePort: 30080, backends: [BACKEND], port: 8080 }),
    ...nodePortService({ name: 'later', nodePort: 30070, backends: [LATER], port: 8080 }),
    ...nodePortService({ name: 'back', nodePort: 30098, backends: ['10.98.0.1'], port: 8080 }),
    ...nodePortService({ name: 'tagged', nodePort: 30081, backends: [TAGGED], port: 8080 }),
  )
  agent = await host.start({ devices: 'up+' })
  await published(host, `${NODE}:30080`)
  await published(host, `${NODE_AT_BACKEND}:30080`)
}, 120_000)

afterAll(async () => {
  await agent?.stop()
  await host?.close()
  await sandbox?.stop()
})

const devices = async (): Promise<string[]> => (await host.api.status()).datapath.devices.map(({ name }) => name)
const hooks = async (): Promise<string[]> =>
  (await host.api.status()).datapath.programs.flatMap(({ name, attachedTo }) =>
    name.endsWith('_netdev') ? [`${name} ${attachedTo}`] : [],
  )
const pins = (): string => sandbox.run('ls', `${SANDBOX_BPFFS}/weft/links`)

describe('several uplinks', () => {
  test('the way to the backend decides about the source address; answers come in elsewhere than requests', () => {
    expect(client.http(`http://${NODE}:30080/`)).toBe(`one ${NODE_AT_BACKEND} 0\n`)
    expect(client.udp(NODE, 30080)).toBe(`one ${NODE_AT_BACKEND} 5`)
  })

  test('node ports answer on the address of every uplink', () => {
    expect(backend.http(`http://${NODE_AT_BACKEND}:30080/`)).toBe(`one ${NODE_AT_BACKEND} 0\n`)
  })

  test('an unknown neighbour costs no packet: neither a SYN nor the first datagram is sent twice', () => {
    const sent = (): number =>
      Number(
        client
          .run('cat', '/proc/net/snmp')
          .match(/^Tcp: \d.*$/m)![0]
          .split(' ')[12],
      )
    for (const device of ['up0', 'up1']) sandbox.run('ip', 'neigh', 'flush', 'dev', device)
    expect(client.udp(NODE, 30080)).toBe(`one ${NODE_AT_BACKEND} 5`)
    for (const device of ['up0', 'up1']) sandbox.run('ip', 'neigh', 'flush', 'dev', device)
    const before = sent()
    expect(client.http(`http://${NODE}:30080/`)).toBe(`one ${NODE_AT_BACKEND} 0\n`)
    expect(sent()).toBe(before)
  })

  test('a device that appears is used, and one that disappears disturbs no other', async () => {
    const later = await join('up2', LATER, '10.70.0.2')
    await later.serve(8080, 'later')
    await published(host, '10.70.0.2:30080')
    expect(await devices()).toEqual(['up0', 'up1', 'up2'])
    expect(later.http('http://10.70.0.2:30080/')).toBe(`one ${NODE_AT_BACKEND} 0\n`)
    expect(client.http(`http://${NODE}:30070/`)).toBe('later 10.70.0.2 0\n')

    sandbox.run('ip', 'link', 'del', 'up2')
    await published(host, '10.70.0.2:30080', false)
    expect(await devices()).toEqual(['up0', 'up1'])
    expect(pins()).not.toContain('up2')
    expect(client.http(`http://${NODE}:30080/`)).toBe(`one ${NODE_AT_BACKEND} 0\n`)

    const again = await join('up2', LATER, '10.70.0.2')
    await again.serve(8080, 'again')
    await published(host, '10.70.0.2:30080')
    expect(client.http(`http://${NODE}:30070/`)).toBe('again 10.70.0.2 0\n')
  }, 120_000)

  test('a VLAN on an uplink is an uplink', async ({ skip }) => {
    if (!existsSync('/proc/net/vlan')) skip('this kernel has no 802.1Q')
    sandbox.run('ip', 'link', 'add', 'link', 'up1', 'name', 'up1.100', 'type', 'vlan', 'id', '100')
    sandbox.run('ip', 'addr', 'add', '10.80.0.2/24', 'dev', 'up1.100')
    sandbox.run('ip', 'link', 'set', 'up1.100', 'up')
    backend.run('ip', 'link', 'add', 'link', 'eth0', 'name', 'eth0.100', 'type', 'vlan', 'id', '100')
    backend.run('ip', 'addr', 'add', `${TAGGED}/24`, 'dev', 'eth0.100')
    backend.run('ip', 'link', 'set', 'eth0.100', 'up')
    await published(host, '10.80.0.2:30080')
    expect(await hooks()).toContain('weft_from_netdev up1.100 ingress')
    expect(client.http(`http://${NODE}:30081/`)).toBe('one 10.80.0.2 0\n')
    expect(client.udp(NODE, 30081)).toBe('one 10.80.0.2 5')
    expect(client.download(`http://${NODE}:30081/bytes/3000000`)).toBe(3_000_000)
    expect(backend.http('http://10.80.0.2:30081/', { post: 1_000_000 })).toBe('one 10.80.0.2 1000000\n')
  }, 120_000)

  test('a change of address or MTU takes hold', async () => {
    sandbox.run('ip', 'addr', 'add', '10.50.0.7/24', 'dev', 'up0')
    await published(host, '10.50.0.7:30080')
    expect(client.http('http://10.50.0.7:30080/')).toBe(`one ${NODE_AT_BACKEND} 0\n`)
    sandbox.run('ip', 'addr', 'add', '10.60.0.9/24', 'dev', 'up1')
    sandbox.run('ip', 'addr', 'del', `${NODE_AT_BACKEND}/24`, 'dev', 'up1')
    // The kernel takes the second address of a network away with its first one.
    sandbox.run('ip', 'addr', 'replace', '10.60.0.9/24', 'dev', 'up1')
    await published(host, '10.60.0.9:30080')
    await published(host, `${NODE_AT_BACKEND}:30080`, false)
    expect(client.http(`http://${NODE}:30080/`)).toBe('one 10.60.0.9 0\n')
    sandbox.run('ip', 'link', 'set', 'up1', 'mtu', '1400')
    await agent.until('the MTU is known', ({ datapath }) =>
      datapath.devices.some(({ name, mtu }) => name === 'up1' && mtu === 1400),
    )
    expect(client.http(`http://${NODE}:30080/`, { post: 1_000_000 })).toBe('one 10.60.0.9 1000000\n')
  }, 120_000)

  test('a device that is renamed is let go of where it is no longer meant', async () => {
    expect(pins()).toContain('from_netdev@up2:ingress')
    sandbox.run('ip', 'link', 'set', 'up2', 'down')
    sandbox.run('ip', 'link', 'set', 'up2', 'name', 'other2')
    await eventually(() => !pins().includes('up2'), { what: 'other2 has no program' })
    expect(await devices()).not.toContain('up2')
  })
})

test('a device that is named and not there is a problem until it appears', async () => {
  await agent.stop()
  agent = await host.start({ devices: 'up1,up9' })
  await agent.until('up9 is missed', ({ problems }) => problems.some(({ code }) => code === 'device-missing'))
  await join('up9', '10.99.0.1', '10.99.0.2')
  await agent.until('up9 is there', ({ problems }) => !problems.some(({ code }) => code === 'device-missing'))
  expect(await devices()).toEqual(['up0', 'up1', 'up9'])
}, 120_000)

test('a veth that comes to devices that are none has tc, and says that XDP waits for a restart', async () => {
  await agent.stop()
  sandbox.run('ip', 'link', 'add', 'hw0', 'type', 'bridge')
  sandbox.run('ip', 'addr', 'add', '10.97.0.2/24', 'dev', 'hw0')
  sandbox.run('ip', 'link', 'set', 'hw0', 'up')
  const settings = { uplink: 'hw0', devices: 'up8', 'load-balancer-acceleration': 'best-effort' }
  const reported = async (): Promise<[string, string, string | undefined][]> =>
    (await host.api.status()).datapath.devices.map(({ name, xdp, reason }) => [name, xdp, reason])
  agent = await host.start(settings)
  expect(await reported()).toEqual([['hw0', 'disabled', 'its driver has no native XDP']])
  const late = await join('up8', '10.98.0.1', '10.98.0.2')
  await late.serve(8080, 'late')
  await published(host, '10.98.0.2:30098')
  const [, veth] = await reported()
  expect(veth).toEqual(['up8', 'disabled', expect.stringContaining('restart the agent')])
  expect(late.http('http://10.98.0.2:30098/')).toBe('late 10.98.0.2 0\n')
  await agent.stop()
  agent = await host.start(settings)
  await published(host, '10.98.0.2:30098')
  expect((await reported())[1]).toEqual(['up8', 'native', undefined])
  expect(late.http('http://10.98.0.2:30098/')).toBe('late 10.98.0.2 0\n')
}, 120_000)
