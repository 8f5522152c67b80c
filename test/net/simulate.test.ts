import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Simulation } from '../../agent/cli/simulate/simulate.ts'
import { eventually } from '../eventually.ts'
import { AgentHost } from './agent-process.ts'
import { Sandbox, SANDBOX_BPFFS } from './sandbox.ts'
import { endpointSlice, pod } from './services.ts'

/** `weft simulate` on the programs of a real agent: what it answers, and that it leaves no trace. */

const POD = '10.0.1.9'

let sandbox: Sandbox
let host: AgentHost

const port = { port: 80, targetPort: 8080 }
const slice = (service: string, ...addresses: string[]): object =>
  endpointSlice(service, [{ port: 8080, protocol: 'TCP' }], addresses)
const service = (name: string, address: string, over: object = {}): object => ({
  ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' } },
  spec: { type: 'LoadBalancer', clusterIP: `10.96.0.${address.split('.')[3]!}`, ports: [port], ...over },
  status: { loadBalancer: { ingress: [{ ip: address }] } },
})

beforeAll(async () => {
  sandbox = await Sandbox.start()
  sandbox.lonelyUplink('172.18.0.3/24')
  const neighbour = ['lladdr', '02:00:00:00:00:09', 'dev', 'up0', 'nud', 'permanent']
  sandbox.run('ip', 'neigh', 'add', '172.18.0.9', ...neighbour)
  sandbox.run('ip', 'route', 'add', '10.1.0.0/16', 'via', '172.18.0.9')
  sandbox.run('ip', 'route', 'add', 'default', 'via', '172.18.0.9')
  sandbox.run('ip', 'link', 'add', 'lxc1', 'type', 'veth', 'peer', 'name', 'pod1')
  for (const end of ['lxc1', 'pod1']) sandbox.run('ip', 'link', 'set', end, 'up')
  sandbox.run('ip', 'route', 'add', `${POD}/32`, 'dev', 'lxc1', 'src', '172.18.0.3')
  host = await AgentHost.create(sandbox)
  await host.apply('inside', pod('inside', POD))
  await host.apply('web', service('web', '172.18.100.10'), slice('web', '10.1.0.4'))
  await host.apply('none', service('none', '172.18.100.11'))
  await host.apply(
    'ranges',
    service('ranges', '172.18.100.12', { loadBalancerSourceRanges: ['198.51.100.0/24'] }),
    slice('ranges', '10.1.0.4'),
  )
  const agent = await host.start({ 'load-balancer-acceleration': 'native', 'bpf-masquerade': 'true' })
  await eventually(
    async () => expect(await simulate('192.0.2.7:4000', '172.18.100.10:80')).toMatchObject({ flow: 'new' }),
    {
      what: 'the service in the maps',
    },
  )
  await eventually(() => simulate(`${POD}:4000`, '172.18.100.10:80', '--hook', 'pod'), { what: "the pod's program" })
  // No running agent is needed.
  await agent.stop()
}, 120_000)

afterAll(async () => {
  await host.close()
  await sandbox.stop()
})

async function simulate(source: string, destination: string, ...more: string[]): Promise<Simulation> {
  const { stdout, stderr } = await host.weft([
    'simulate',
    'tcp',
    source,
    destination,
    '--bpf-root',
    SANDBOX_BPFFS,
    '-o',
    'json',
    ...more,
  ])
  if (stdout === '') throw new Error(stderr)
  return JSON.parse(stdout) as Simulation
}

async function counted(): Promise<string> {
  const lists = [
    ['ct', 'list'],
    ['metrics', 'list'],
  ]
  const texts = await Promise.all(lists.map((list) => host.weft(['bpf', ...list, '--bpf-root', SANDBOX_BPFFS])))
  return texts.map(({ stdout }) => stdout).join('')
}

describe('a packet that is only thought of', { timeout: 120_000 }, () => {
  test('goes to a backend elsewhere, and leaves no trace', async () => {
    const before = await counted()
    expect(await simulate('192.0.2.7:4000', '172.18.100.10:80')).toMatchObject({
      ...{ verdict: 'forwarded', flow: 'new', interface: 'up0', hook: 'ingress' },
      frontend: { address: '172.18.100.10:80/TCP' },
      backend: { address: '10.1.0.4:8080/TCP', state: 'active' },
      becomes: { source: expect.stringMatching(/^172\.18\.0\.3:\d+$/) as string, destination: '10.1.0.4:8080' },
      path: { device: 'up0', neighbour: '02:00:00:00:00:09' },
    })
    expect(await counted()).toBe(before)
  })

  test('finds no backend, and its sender would be told', async () => {
    const result = await simulate('192.0.2.7:4000', '172.18.100.11:80')
    expect(result).toMatchObject({ verdict: 'dropped', reason: 'no-service', told: 'port unreachable' })
    expect(result.notes.join()).toContain('the service has no backend')
  })

  test('is for no frontend of an address kept for services', async () => {
    const result = await simulate('192.0.2.7:4000', '172.18.100.10:81')
    expect(result).toMatchObject({ verdict: 'dropped', reason: 'no-service' })
    expect(result.notes.join()).toContain(
      '172.18.100.10 is kept for services and has no frontend for this port; it has 80/TCP',
    )
  })

  test('comes from outside the source ranges', async () => {
    const denied = await simulate('192.0.2.7:4000', '172.18.100.12:80')
    expect(denied).toMatchObject({ verdict: 'dropped', reason: 'not-in-source-range' })
    expect(await simulate('198.51.100.7:4000', '172.18.100.12:80')).toMatchObject({ verdict: 'forwarded' })
  })

  test('comes in at XDP', async () => {
    expect(await simulate('192.0.2.7:40000', '172.18.100.10:80', '--hook', 'xdp')).toMatchObject({
      ...{ verdict: 'forwarded', flow: 'new', interface: 'up0', hook: 'xdp' },
      becomes: { source: '172.18.0.3:40000', destination: '10.1.0.4:8080' },
      path: { device: 'up0', neighbour: '02:00:00:00:00:09' },
    })
  })

  test('is sent by a pod: to a service, to the world with the address of the node, and to the node', async () => {
    const hook = ['--hook', 'pod']
    const before = await counted()
    const inside = { hook: 'pod', interface: 'lxc1' }
    expect(await simulate(`${POD}:40000`, '172.18.100.10:80', ...hook)).toMatchObject({
      ...{ ...inside, flow: 'new', backend: { address: '10.1.0.4:8080/TCP' }, path: { device: 'up0' } },
    })
    const world = await simulate(`${POD}:40000`, '203.0.113.9:443', ...hook)
    expect(world).toMatchObject({
      ...{ ...inside, verdict: 'forwarded', flow: 'new', path: { device: 'up0' } },
      becomes: { source: '172.18.0.3:40000', destination: '203.0.113.9:443' },
    })
    expect(world.notes.join()).toContain('bpf.masquerade')
    expect(await simulate(`${POD}:40000`, '172.18.0.3:22', ...hook)).toMatchObject({ ...inside, verdict: 'not-ours' })
    expect(await simulate(`${POD}:40000`, '203.0.113.9:443', '--hook', 'egress')).toMatchObject({
      ...{ verdict: 'forwarded', interface: 'up0', becomes: world.becomes },
    })
    expect(await counted()).toBe(before)
  })

  test('is for nobody we know', async () => {
    const result = await simulate('192.0.2.7:4000', '203.0.113.9:443')
    expect(result).toMatchObject({ verdict: 'not-ours', flow: 'none' })
  })
})
