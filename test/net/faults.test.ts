import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkMachine } from '../../agent/targets/datapath/checks.ts'
import type { Ended } from './agent-process.ts'
import { AgentHost } from './agent-process.ts'
import { Sandbox, SANDBOX_BPFFS } from './sandbox.ts'

/** What stands in the way of an agent at its start: one message, what to do next, exit status ≠ 0, nothing changed. */

let sandbox: Sandbox
let host: AgentHost

beforeEach(async () => {
  sandbox = await Sandbox.start()
  sandbox.lonelyUplink('172.18.0.3/24')
  host = await AgentHost.create(sandbox)
})

afterEach(async () => {
  await host.close()
  await sandbox.stop()
})

/** One line of error and one of advice, without a stack. */
function refused({ code, stderr }: Ended, status: number, message: string, hint: string): void {
  const lines = stderr.trim().split('\n')
  expect(lines, stderr).toHaveLength(2)
  expect(lines[0]).toMatch(/^error: /)
  expect(lines[0]).toContain(message)
  expect(lines[1]).toMatch(/^hint: /)
  expect(lines[1]).toContain(hint)
  expect(code).toBe(status)
}

/** May read every file, and nothing else that root may. */
const AS_NOBODY = [
  ...['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--bounding-set', '-all,+dac_read_search'],
  ...['--inh-caps', '-all,+dac_read_search', '--ambient-caps', '-all,+dac_read_search'],
]

describe('an agent is refused', () => {
  test('when it is not root', async () => {
    refused(await host.agent({}, AS_NOBODY), 1, 'missing CAP_BPF, CAP_NET_ADMIN', 'run as root')
  })

  test('where there is no bpffs', async () => {
    refused(await host.agent({ 'bpf-root': '/tmp' }), 1, '/tmp is not a bpffs', 'mount -t bpf bpf /tmp')
  })

  test('where there is no cgroup2', async () => {
    const answer = await host.agent({ 'cgroup-root': '/tmp' })
    refused(answer, 1, '/tmp is not on a cgroup2 file system', 'mount -t cgroup2')
  })

  test('when the eBPF objects are not built', async () => {
    const answer = await host.agent({ 'bpf-objects': '/nonexistent' })
    refused(answer, 1, 'the eBPF object /nonexistent/weft_sock.o is missing', 'make bpf')
  })

  test('when the directory of manifests is missing', async () => {
    refused(await host.agent({ manifests: '/nonexistent' }), 2, '/nonexistent does not exist', 'mkdir -p /nonexistent')
    expect(sandbox.run('ls', SANDBOX_BPFFS)).not.toContain('weft')
  })

  test.each([
    [{ 'cluster-id': '256' }, 'clusterId is "256"', 'a number from 1 to 255'],
    [{ 'cluster-id': '0' }, 'clusterId is "0"', 'needs an id from 1 to 255'],
    [{ 'cluster-name': 'we/st' }, 'clusterName is "we/st"', 'lower-case letters, digits and "-"'],
  ])('with %j', async (over, message, allowed) => {
    const { code, stderr } = await host.agent(over)
    expect(stderr).toContain(message)
    expect(stderr).toContain(allowed)
    expect(stderr).not.toContain('    at ')
    expect(code).toBe(2)
    expect(sandbox.run('ls', SANDBOX_BPFFS)).not.toContain('weft')
  })

  test('when a map of another layout is pinned, which stays', async () => {
    sandbox.run('mkdir', '-p', `${SANDBOX_BPFFS}/weft/maps`)
    const pin = `${SANDBOX_BPFFS}/weft/maps/w_svc4_v1`
    sandbox.run(
      ...['bpftool', 'map', 'create', pin, 'type', 'hash', 'key', '8', 'value', '8', 'entries', '64'],
      ...['name', 'w_svc4_v1'],
    )
    refused(await host.agent(), 1, `the pinned map ${pin} cannot be used`, 'weft agent --cleanup')
    expect(sandbox.run('bpftool', 'map', 'show', 'pinned', pin)).toMatch(/key 8B\s+value 8B\s+max_entries 64/)
    expect(sandbox.run('ls', `${SANDBOX_BPFFS}/weft/maps`).trim()).toBe('w_svc4_v1')
  })

  test('where another one runs, which is not disturbed', async () => {
    const first = await host.start()
    const other = path.join(host.directory, 'other')
    refused(await host.agent({ 'state-dir': other, socket: `${other}.sock` }), 1, 'another agent runs', 'stop it first')
    expect(first.runs).toBe(true)
    expect((await host.api.status()).problems).toEqual([])
  })

  test('on a kernel that is too old', () => {
    const options = { objectsDir: 'build/bpf', bpfRoot: '/', cgroupRoot: '/', uplink: 'lo' }
    expect(() => checkMachine(options, '5.10.0-30-amd64')).toThrowError(
      expect.objectContaining({
        code: 'kernel-too-old',
        message: 'the kernel is too old: Linux 5.10.0-30-amd64',
        hint: 'Linux 5.15 or later is needed: upgrade the kernel',
      }) as Error,
    )
    expect(() => checkMachine(options, '5.15.0')).toThrowError('bpffs')
  })
})

describe('weft agent --cleanup', () => {
  test('refuses while an agent runs; afterwards it leaves no trace, and a new agent starts from nothing', async () => {
    await host.apply('node', {
      ...{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'other' }, spec: { podCIDR: '10.0.7.0/24' } },
      status: { addresses: [{ type: 'InternalIP', address: '172.18.0.7' }] },
    })
    const agent = await host.start()
    await agent.until('the route is there', ({ targets }) => targets.some((t) => t.name === 'routes' && t.actual === 1))
    refused(await host.weft(['agent', '--cleanup', ...host.flags()]), 1, 'another agent runs', 'stop it first')
    expect(sandbox.run('ip', 'route')).toContain('10.0.7.0/24')
    expect(links()).not.toHaveLength(0)

    await agent.stop()
    const before = links()
    expect(before).not.toHaveLength(0)
    const cleaned = await host.weft(['agent', '--cleanup', ...host.flags()])
    expect(cleaned, cleaned.stderr).toMatchObject({ code: 0, stdout: '' })
    expect(links()).toEqual([])
    expect(sandbox.run('find', `${SANDBOX_BPFFS}/weft`, '-mindepth', '1')).toBe('')
    expect(sandbox.run('ip', 'route')).not.toContain('10.0.7.0/24')
    expect(await host.weft(['agent', '--cleanup', ...host.flags()])).toMatchObject({ code: 0 })
    await host.start({ 'map-sizes-services': '512' })
  })

  /** Attachments to the sandbox's cgroup and devices. */
  function links(): unknown[] {
    const cgroup = sandbox.run('bpftool', '-j', 'cgroup', 'show', sandbox.cgroup)
    const net = JSON.parse(sandbox.run('bpftool', '-j', 'net', 'show')) as { tc?: unknown[] }[]
    return [...((cgroup.trim() === '' ? [] : JSON.parse(cgroup)) as unknown[]), ...net.flatMap(({ tc }) => tc ?? [])]
  }
})

describe('make bpf', () => {
  test.each([
    ['CLANG=', 'bpf: no clang-19 or clang-18 was found', 'clang-19'],
    ['CLANG=clang-absent', 'bpf: clang-absent is not there', 'clang-19'],
    ['STRIP=', 'bpf: no llvm-strip was found', 'llvm-19'],
    ['BPFTOOL=', 'bpf: no bpftool was found', 'bpftool'],
  ])('%s: names the package that is missing', async (without, message, debian) => {
    const out = await mkdtemp(path.join(tmpdir(), `weft-bpf-${process.pid}-`))
    try {
      const failure = await promisify(execFile)('make', ['-C', 'bpf', `OUT=${out}`, without]).then(
        () => undefined,
        (error: unknown) => error as { code: number; stderr: string },
      )
      expect(failure?.code).toBe(2)
      expect(failure?.stderr).toContain(`${message}: it comes with the Debian package ${debian}`)
      expect(failure?.stderr).toContain('hint: make setup')
      expect(await readdir(out)).toEqual([])
    } finally {
      await rm(out, { recursive: true, force: true })
    }
  })
})
