import { execFile } from 'node:child_process'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { IpRunner } from '../../agent/targets/iproute.ts'
import type { RouteEntry } from '../../agent/types/datapath.ts'
import { podDevices } from '../../agent/targets/pod-devices.ts'
import { RouteTarget } from '../../agent/targets/routes.ts'
import { formatCidr, parseAddress, parseCidr } from '../../agent/types/address.ts'
import { targetCompliance } from '../compliance/target.ts'
import { Sandbox } from './sandbox.ts'

let sandbox: Sandbox
let target: RouteTarget

/** `ip` as the target runs it, in the sandbox. */
const inside: IpRunner = (args, input) =>
  new Promise((resolve) => {
    const child = execFile(...sandbox.command('ip', ...args), (error, stdout, stderr) =>
      resolve({ ok: error === null, stdout, stderr }),
    )
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input ?? '')
  })

beforeAll(async () => {
  sandbox = await Sandbox.start()
})
afterAll(() => sandbox.stop())

beforeEach(() => {
  for (const device of ['eth0', 'eth1']) {
    sandbox.run('bash', '-c', `ip link del ${device} 2>/dev/null || true`)
    sandbox.run('ip', 'link', 'add', device, 'type', 'veth', 'peer', 'name', `${device}p`)
    sandbox.run('ip', 'link', 'set', device, 'up')
    sandbox.run('ip', 'link', 'set', `${device}p`, 'up')
  }
  sandbox.run('ip', 'addr', 'add', '172.18.0.2/24', 'dev', 'eth0')
  sandbox.run('ip', 'addr', 'add', '192.168.7.2/24', 'dev', 'eth1')
  target = new RouteTarget('eth0', inside)
})

function route(prefix: string, via: string): [string, RouteEntry] {
  const cidr = parseCidr(prefix)!
  return [formatCidr(cidr), { prefix: cidr, via: parseAddress(via)! }]
}

const table = (): string[] =>
  sandbox
    .run('ip', '-4', 'route')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')

targetCompliance(
  'routes',
  () => ({
    target,
    sample: (n) => route(`10.1.${n}.0/24`, '172.18.0.3'),
    changed: (n) => route(`10.1.${n}.0/24`, '172.18.0.4')[1],
    reopen: () => new RouteTarget('eth0', inside),
    close: () => undefined,
  }),
  { limit: false },
)

describe('routes', () => {
  test('are set, replaced, read back and deleted', async () => {
    expect((await target.set([route('10.0.1.0/24', '172.18.0.3'), route('10.1.0.7/32', '172.18.0.4')])).size).toBe(0)
    expect(table()).toContain('10.0.1.0/24 via 172.18.0.3 dev eth0 proto kernel')
    expect((await target.set([route('10.0.1.0/24', '172.18.0.9')])).size).toBe(0)
    const loaded = await target.load()
    expect([...loaded]).toEqual([route('10.0.1.0/24', '172.18.0.9'), route('10.1.0.7/32', '172.18.0.4')])
    expect((await target.delete([...loaded.keys(), '10.9.9.0/24', 'nonsense'])).size).toBe(0)
    expect((await target.load()).size).toBe(0)
  })

  test('of other people, and of the kernel, are neither ours nor replaced nor deleted', async () => {
    sandbox.run('ip', 'route', 'add', '10.5.0.0/16', 'via', '172.18.0.77')
    sandbox.run('ip', 'route', 'add', '10.6.0.0/16', 'via', '192.168.7.1', 'dev', 'eth1', 'proto', 'kernel')
    sandbox.run('ip', 'route', 'add', 'default', 'via', '172.18.0.1')
    const before = table()
    expect((await target.load()).size).toBe(0)
    const failures = await target.set([route('10.5.0.0/16', '172.18.0.3'), route('10.7.0.0/16', '172.18.0.3')])
    expect([...failures.keys()]).toEqual(['10.5.0.0/16'])
    expect(failures.get('10.5.0.0/16')).toMatchObject({
      code: 'route-taken',
      message: '10.5.0.0/16 is already routed via 172.18.0.77 dev eth0 (proto boot)',
      hint: expect.stringContaining('ip route del 10.5.0.0/16 via 172.18.0.77 dev eth0') as string,
    })
    await target.delete(['10.5.0.0/16', '10.6.0.0/16', '10.7.0.0/16', '0.0.0.0/0', '172.18.0.0/24'])
    expect(table()).toEqual(before)
  })

  test('through a gateway that is not on the link are refused, the others set', async () => {
    const failures = await target.set([
      route('10.0.1.0/24', '10.200.0.1'),
      route('10.0.2.0/24', '172.18.0.3'),
      route('10.0.3.0/24', '192.168.7.1'),
    ])
    expect([...failures.keys()]).toEqual(['10.0.1.0/24', '10.0.3.0/24'])
    expect(failures.get('10.0.1.0/24')).toMatchObject({
      code: 'gateway-not-on-link',
      message: 'no direct route to 10.0.1.0/24: 10.200.0.1 is in no network attached to eth0',
    })
    expect([...(await target.load()).keys()]).toEqual(['10.0.2.0/24'])
  })

  test('that the kernel refuses fail alone, with what it says', async () => {
    // A broadcast address is no gateway; only the kernel knows.
    const failures = await target.set([route('10.0.1.0/24', '172.18.0.255'), route('10.0.2.0/24', '172.18.0.3')])
    expect([...failures.keys()]).toEqual(['10.0.1.0/24'])
    expect(failures.get('10.0.1.0/24')).toMatchObject({ code: 'route-refused' })
    expect(failures.get('10.0.1.0/24')!.message).toMatch(/^ip route replace 10\.0\.1\.0\/24 .*: .+/)
    expect([...(await target.load()).keys()]).toEqual(['10.0.2.0/24'])
  })

  test('to 2 000 nodes take one run of ip each way', async () => {
    const many = Array.from({ length: 2000 }, (_, n) =>
      route(`10.${n >> 8}.${n & 255}.0/24`, `172.18.0.${(n % 200) + 3}`),
    )
    expect((await target.set(many)).size).toBe(0)
    expect((await target.load()).size).toBe(2000)
    expect((await target.delete(many.map(([key]) => key))).size).toBe(0)
    expect((await target.load()).size).toBe(0)
  })
})

test('pod devices are those that a host route leads to, the uplink excepted', async () => {
  sandbox.run('ip', 'route', 'add', '10.0.0.5/32', 'dev', 'eth1')
  sandbox.run('ip', 'route', 'add', '10.0.0.6/32', 'dev', 'eth1')
  sandbox.run('ip', 'route', 'add', '172.18.9.9/32', 'dev', 'eth0')
  sandbox.run('ip', 'route', 'add', '10.9.0.9/32', 'via', '172.18.0.9')
  expect([...(await podDevices(['eth0'], inside))]).toEqual([
    ['10.0.0.5', 'eth1'],
    ['10.0.0.6', 'eth1'],
  ])
})
