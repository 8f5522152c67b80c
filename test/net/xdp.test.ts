import type { ChildProcess } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { end } from '../processes.ts'
import { AgentHost, type RunningAgent } from './agent-process.ts'
import { type Neighbour, startServer } from './neighbour.ts'
import { published } from './published.ts'
import { Sandbox } from './sandbox.ts'
import { nodePortService, pod } from './services.ts'

const CLIENT = '10.50.0.1'
const NODE = '10.50.0.2'
const BACKEND = '10.60.0.1'
const NODE_AT_BACKEND = '10.60.0.2'
const POD = '10.0.1.9'
const NATIVE = { devices: 'up0,up1', 'load-balancer-acceleration': 'native' }

let sandbox: Sandbox
let host: AgentHost
let agent: RunningAgent
let client: Neighbour
let own: ChildProcess

beforeAll(async () => {
  sandbox = await Sandbox.start()
  client = await sandbox.join('up0', `${CLIENT}/24`, `${NODE}/24`)
  const backend = await sandbox.join('up1', `${BACKEND}/24`, `${NODE_AT_BACKEND}/24`)
  const inside = await sandbox.join('lxc1', `${POD}/32`, '169.254.9.1/32')
  inside.run('ip', 'route', 'add', '169.254.9.1', 'dev', 'eth0', 'scope', 'link')
  inside.run('ip', 'route', 'add', 'default', 'via', '169.254.9.1')
  sandbox.run('ip', 'route', 'add', `${POD}/32`, 'dev', 'lxc1', 'src', NODE)
  await client.serve(8080, 'client')
  await backend.serve(8080, 'backend')
  await inside.serve(8080, 'pod')
  own = await startServer(sandbox.command().flat(), 30082, 'node')
  host = await AgentHost.create(sandbox)
  await host.apply(
    'services',
    pod('inside', POD),
    ...nodePortService({ name: 'remote', nodePort: 30080, backends: [BACKEND], port: 8080 }),
    ...nodePortService({ name: 'local', nodePort: 30082, backends: [POD], port: 8080 }),
    ...nodePortService({ name: 'on-node', nodePort: 30081, backends: [NODE], port: 30082 }),
    ...nodePortService({ name: 'back', nodePort: 30083, backends: [CLIENT], port: 8080 }),
  )
  agent = await host.start(NATIVE)
  for (const port of [30080, 30081, 30082, 30083]) await published(host, `${NODE}:${port}`)
}, 120_000)

afterAll(async () => {
  await agent?.stop()
  await host?.close()
  if (own !== undefined) await end(own)
  await sandbox?.stop()
})

interface Xdp {
  readonly mode: string
  readonly program: number
}

function xdpOn(device: string): Xdp | undefined {
  const [link] = JSON.parse(sandbox.run('ip', '-j', '-d', 'link', 'show', device)) as [
    { xdp?: { mode: number; prog: { id: number } } },
  ]
  if (link.xdp === undefined) return undefined
  return { mode: ['none', 'native', 'generic'][link.xdp.mode] ?? '', program: link.xdp.prog.id }
}

/** Packets that programs forwarded, on the way in. */
async function forwarded(): Promise<number> {
  const listing = await host.weft(['bpf', 'metrics', 'list', '--bpf-root', '/mnt', '-o', 'json'])
  const rows = JSON.parse(listing.stdout) as { reason: string; direction: string; packets: number | string }[]
  return Number(
    rows.find(({ reason, direction }) => /^forwarded$/i.test(reason) && /ingress/i.test(direction))?.packets ?? 0,
  )
}

function everything(): void {
  expect(client.http(`http://${NODE}:30080/`)).toBe(`backend ${NODE_AT_BACKEND} 0\n`)
  expect(client.udp(NODE, 30080)).toBe(`backend ${NODE_AT_BACKEND} 5`)
  expect(client.http(`http://${NODE}:30082/`)).toBe(`pod ${CLIENT} 0\n`)
  expect(client.udp(NODE, 30082)).toBe(`pod ${CLIENT} 5`)
  for (const port of [30080, 30082]) {
    expect(client.download(`http://${NODE}:${port}/bytes/3000000`)).toBe(3_000_000)
    expect(client.http(`http://${NODE}:${port}/`, { post: 2_000_000 })).toMatch(/ 2000000\n$/)
  }
}

describe('native XDP', () => {
  test('is on every uplink, and status says so', async () => {
    expect(['up0', 'up1'].map((device) => xdpOn(device)?.mode)).toEqual(['native', 'native'])
    const { datapath } = await host.api.status()
    expect(datapath.devices.map(({ name, xdp, reason }) => [name, xdp, reason])).toEqual([
      ['up0', 'native', undefined],
      ['up1', 'native', undefined],
    ])
    const { stdout } = await host.weft(['status', '--verbose', '--socket', `${host.directory}/weft.sock`])
    expect(stdout).toMatch(/XDP Acceleration: +Native/)
  })

  test('forwards by another device and delivers to pods, small and big, TCP and UDP', () => everything())

  test('forwards by the device that a packet came by', () => {
    expect(client.download(`http://${NODE}:30083/bytes/1000000`)).toBe(1_000_000)
    expect(client.udp(NODE, 30083)).toBe(`client ${NODE} 5`)
  })

  test('what is delivered on the node is not translated again at tc, and counted once', async () => {
    // The backend's address and port are a frontend of another service as well.
    expect(client.http(`http://${NODE}:30081/`)).toBe(`node ${CLIENT} 0\n`)
    expect(client.udp(NODE, 30081)).toBe(`node ${CLIENT} 5`)
    const before = await forwarded()
    expect(client.udp(NODE, 30082)).toBe(`pod ${CLIENT} 5`)
    expect(await forwarded()).toBe(before + 1)
  })

  test('an unknown neighbour costs no packet', async () => {
    for (const device of ['up0', 'up1']) sandbox.run('ip', 'neigh', 'flush', 'dev', device)
    const before = await forwarded()
    expect(client.udp(NODE, 30080)).toBe(`backend ${NODE_AT_BACKEND} 5`)
    expect(await forwarded()).toBe(before + 2)
    for (const device of ['up0', 'up1']) sandbox.run('ip', 'neigh', 'flush', 'dev', device)
    expect(client.http(`http://${NODE}:30080/`)).toBe(`backend ${NODE_AT_BACKEND} 0\n`)
  })

  test('is taken over by the next agent, detached when it is disabled, and generic only when asked for', async () => {
    const before = xdpOn('up0')
    const id = linkId()
    await agent.stop()
    expect(xdpOn('up0')).toEqual(before)
    agent = await host.start(NATIVE)
    expect(linkId()).toBe(id)
    expect(xdpOn('up0')?.program).not.toBe(before?.program)
    everything()

    await agent.stop()
    agent = await host.start({ ...NATIVE, 'load-balancer-acceleration': 'generic' })
    expect(xdpOn('up0')?.mode).toBe('generic')

    await agent.stop()
    agent = await host.start({ ...NATIVE, 'load-balancer-acceleration': 'disabled' })
    expect(xdpOn('up0')).toBeUndefined()
    everything()
  }, 120_000)
})

function linkId(): number {
  const links = JSON.parse(sandbox.run('bpftool', '-j', '-f', 'link', 'show')) as { id: number; pinned?: string[] }[]
  return links.find(({ pinned }) => pinned?.some((pin) => pin.endsWith('/xdp_uplink@up0:xdp')))?.id ?? 0
}

describe('a device that can have no XDP', () => {
  const withBridge = { devices: 'up0,up1,br0' }

  beforeAll(async () => {
    // A bridge has no driver that could run XDP.
    const behind = await sandbox.join('port', '10.65.0.1/24', '169.254.9.2/32')
    await behind.serve(8080, 'behind')
    sandbox.run('ip', 'link', 'add', 'br0', 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0')
    sandbox.run('ip', 'link', 'set', 'port', 'master', 'br0')
    sandbox.run('ip', 'addr', 'add', '10.65.0.2/24', 'dev', 'br0')
    sandbox.run('ip', 'link', 'set', 'br0', 'up')
    await host.apply(
      'bridged',
      ...nodePortService({ name: 'bridged', nodePort: 30085, backends: ['10.65.0.1'], port: 8080 }),
    )
    await agent.stop()
  })

  test('native: the start is refused, and says what to do', async () => {
    const ended = await host.agent({ ...withBridge, 'load-balancer-acceleration': 'native' })
    expect(ended.code).not.toBe(0)
    expect(ended.stderr).toContain('XDP cannot be attached to br0: its driver has no native XDP')
    expect(ended.stderr).toContain('best-effort')
    expect(xdpOn('up0')).toBeUndefined()
  }, 120_000)

  test('best-effort: it goes on at tc, status says why, and XDP leaves to tc what goes out there', async () => {
    agent = await host.start({ ...withBridge, 'load-balancer-acceleration': 'best-effort' })
    await published(host, `${NODE}:30085`)
    const { datapath, problems } = await host.api.status()
    expect(problems).toEqual([])
    expect(datapath.devices.map(({ name, xdp, reason }) => [name, xdp, reason])).toEqual([
      ['up0', 'native', undefined],
      ['up1', 'native', undefined],
      ['br0', 'disabled', 'its driver has no native XDP'],
    ])
    const { stdout } = await host.weft(['status', '--socket', `${host.directory}/weft.sock`])
    expect(stdout).toMatch(/XDP: +up0 native, up1 native, br0 disabled \(its driver has no native XDP\)/)
    expect(client.http(`http://${NODE}:30085/`)).toBe('behind 10.65.0.2 0\n')
    expect(client.udp(NODE, 30085)).toBe('behind 10.65.0.2 5')
    expect(client.download(`http://${NODE}:30085/bytes/3000000`)).toBe(3_000_000)
    everything()
  }, 120_000)
})
