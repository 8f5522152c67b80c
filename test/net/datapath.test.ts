import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { FLOW_MAPS } from '../../agent/maps/flow.ts'
import { PORTS_MAP } from '../../agent/maps/ports.ts'
import type { DatapathOptions } from '../../agent/targets/programs.ts'
import { end, ended } from '../processes.ts'
import type { ChildCommand, ChildReport } from './datapath-child.ts'
import { Sandbox, SANDBOX_BPFFS } from './sandbox.ts'

type Running = Exclude<ChildReport, { error: unknown }>
type Refused = Extract<ChildReport, { error: unknown }>['error']

const CHILD = path.resolve('build/js/test/net/datapath-child.js')
/** A dot in a device's name is usual (VLANs), and refused in the names of pins. */
const UPLINK = 'up.100'
const SOCKETS = ['connect4', 'sendmsg4', 'recvmsg4', 'getpeername4', 'release']

let sandbox: Sandbox
let options: DatapathOptions
const children = new Set<ChildProcessWithoutNullStreams>()

beforeAll(() => {
  if (!existsSync(CHILD)) throw new Error(`${CHILD} is missing: run \`make build\``)
})

beforeEach(async () => {
  sandbox = await Sandbox.start()
  addDevice(UPLINK)
  options = {
    objectsDir: path.resolve('build/bpf'),
    bpfRoot: SANDBOX_BPFFS,
    cgroupRoot: sandbox.cgroup,
    uplink: UPLINK,
    nodePorts: { first: 30000, last: 32767 },
    // Preallocated maps of full size cost a second of kernel time each.
    mapSizes: { w_flow4t_v1: 1024, w_flow4s_v1: 1024, w_flow4a_v1: 1024, w_revsk4_v1: 1024, w_aff4_v1: 1024 },
  }
})

afterEach(async () => {
  await Promise.all([...children].map((child) => kill(child)))
  await sandbox.stop()
})

afterAll(() => expect(children.size).toBe(0))

function addDevice(name: string): void {
  sandbox.run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-p`)
  sandbox.run('ip', 'link', 'set', name, 'up')
}

/** Starts a process that opens the datapath; what it said, and the process, which stays. */
async function start(
  command: Partial<ChildCommand> = {},
  prefix: readonly string[] = [],
): Promise<{ child: ChildProcessWithoutNullStreams; report: ChildReport }> {
  const full: ChildCommand = { options, podDevices: [], remove: false, ...command }
  const child = spawn(...sandbox.command(...prefix, process.execPath, CHILD, JSON.stringify(full)))
  children.add(child)
  child.stderr.pipe(process.stderr)
  const line = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).once('line', resolve)
    child.once('exit', (code, signal) => reject(new Error(`the child ended with ${code ?? signal}`)))
  })
  return { child, report: JSON.parse(line) as ChildReport }
}

async function opened(
  command: Partial<ChildCommand> = {},
): Promise<Running & { child: ChildProcessWithoutNullStreams }> {
  const { child, report } = await start(command)
  if ('error' in report) throw new Error(report.error.message)
  return { ...report, child }
}

async function refused(over: Partial<DatapathOptions>, prefix: readonly string[] = []): Promise<Refused> {
  const { child, report } = await start({ options: { ...options, ...over } }, prefix)
  await ended(child)
  children.delete(child)
  if (!('error' in report)) throw new Error('it was not refused')
  return report.error
}

async function kill(child: ChildProcessWithoutNullStreams): Promise<void> {
  await end(child)
  children.delete(child)
}

async function stop(child: ChildProcessWithoutNullStreams): Promise<void> {
  child.stdin.end()
  await ended(child)
  children.delete(child)
}

const linkIds = (report: Running): Record<string, number> =>
  Object.fromEntries(Object.entries(report.links).map(([pin, { id }]) => [pin, id]))

interface KernelLink {
  readonly id: number
  readonly prog_id: number
}

/** What the kernel has, of these links: as an onlooker sees it. */
function inKernel(report: Running): KernelLink[] {
  const all = JSON.parse(sandbox.run('bpftool', '-j', 'link', 'show')) as KernelLink[]
  const ids = new Set(Object.values(linkIds(report)))
  return all.filter(({ id }) => ids.has(id)).map(({ id, prog_id }) => ({ id, prog_id }))
}

/** Without what a walk through the flows is told, which is nobody's but its agent's. */
function pinned({
  w_purge: _which,
  w_purge_ranges: _who,
  ...ids
}: Readonly<Record<string, number>>): Record<string, number> {
  return ids
}

describe('a datapath', () => {
  test('is attached to the cgroup, the uplink and the pods, and sets what forwarding needs', async () => {
    addDevice('lxc1')
    const report = await opened({ podDevices: ['lxc1'] })
    expect(report.programs.map(({ name, attachedTo }) => `${name} ${attachedTo}`)).toEqual([
      ...SOCKETS.map((name) => `weft_${name} ${sandbox.cgroup}`),
      `weft_from_netdev ${UPLINK} ingress`,
      `weft_to_netdev ${UPLINK} egress`,
      'weft_to_pod lxc1 egress',
      'weft_from_pod lxc1 ingress',
    ])
    expect(inKernel(report)).toHaveLength(9)
    expect(Object.keys(report.mapIds)).toEqual(
      expect.arrayContaining(['w_svc4_v1', 'w_slot_v1', 'w_be4_v1', 'w_rnat4_v1']),
    )
    expect(report.sysctls.filter(({ error }) => error !== undefined)).toEqual([])
    expect(sandbox.run('cat', '/proc/sys/net/ipv4/ip_forward').trim()).toBe('1')
    expect(sandbox.run('cat', `/proc/sys/net/ipv4/conf/${UPLINK}/rp_filter`).trim()).toBe('0')
    expect(sandbox.run('cat', '/proc/sys/net/ipv4/ip_local_reserved_ports').trim()).toBe('30000-32767')
    expect(sandbox.run('cat', '/proc/sys/net/ipv4/ip_local_port_range').trim()).toBe('12000\t29999')
  })

  test('outlives a kill; the next process takes over maps and attachments with its own programs', async () => {
    const first = await opened()
    await kill(first.child)
    expect(inKernel(first)).toHaveLength(7)
    const second = await opened()
    expect(linkIds(second)).toEqual(linkIds(first))
    expect(pinned(second.mapIds)).toEqual(pinned(first.mapIds))
    const before = new Set(first.programs.map(({ id }) => id))
    expect(second.programs.filter(({ id }) => before.has(id))).toEqual([])
    await stop(second.child)
    expect(inKernel(second)).toHaveLength(7)
  })

  test('flows that are there without a note of their ports may have had any', async () => {
    const file = path.join(options.bpfRoot, 'weft/maps', PORTS_MAP.name)
    const noted = (): string => {
      const [element] = JSON.parse(sandbox.run('bpftool', '-j', 'map', 'dump', 'pinned', file)) as { value: string[] }[]
      return [...new Set(element!.value)].join()
    }
    await stop((await opened()).child)
    expect(noted()).toBe('0x00')
    sandbox.run('rm', file)
    await stop((await opened()).child)
    expect(noted()).toBe('0xff')
    sandbox.run('rm', file)
    for (const { name } of FLOW_MAPS) sandbox.run('rm', path.join(options.bpfRoot, 'weft/maps', name))
    await stop((await opened()).child)
    expect(noted()).toBe('0x00')
  })

  test('is attached anew where a device has come back under its name', async () => {
    const first = await opened()
    await stop(first.child)
    sandbox.run('ip', 'link', 'del', UPLINK)
    addDevice(UPLINK)
    const second = await opened()
    expect(inKernel(second)).toHaveLength(7)
    const [pin] = Object.keys(second.links).filter((name) => name.startsWith('from_netdev'))
    expect(second.links[pin!]!.id).not.toBe(first.links[pin!]!.id)
    expect(second.links['connect4']!.id).toBe(first.links['connect4']!.id)
  })

  test('lets go of pods that are gone, and of those it is no longer given', async () => {
    for (const device of ['lxc1', 'lxc2', 'lxc3']) addDevice(device)
    const first = await opened({ podDevices: ['lxc1', 'lxc2', 'lxc3'] })
    await stop(first.child)
    sandbox.run('ip', 'link', 'del', 'lxc2')
    const second = await opened({ podDevices: ['lxc3'] })
    expect(Object.keys(second.links).filter((pin) => pin.startsWith('from_pod'))).toEqual(['from_pod@lxc3:ingress'])
    expect(second.links['from_pod@lxc3:ingress']!.id).toBe(first.links['from_pod@lxc3:ingress']!.id)
  })

  test('is removed without a trace', async () => {
    const first = await opened()
    const busy = await start({ remove: true })
    expect(busy.report).toMatchObject({ error: { code: 'already-running' } })
    await ended(busy.child)
    await stop(first.child)
    await stop((await opened({ remove: true })).child)
    expect(inKernel(first)).toEqual([])
    expect(sandbox.run('find', `${SANDBOX_BPFFS}/weft`, '-mindepth', '1')).toBe('')
  })
})

describe('refusals say what is wrong and what to do, and leave what runs alone', () => {
  test('a second instance', async () => {
    const first = await opened()
    const { code, message, hint } = await refused({})
    expect(code).toBe('already-running')
    expect(message).toContain(`another agent runs the datapath in ${SANDBOX_BPFFS}/weft`)
    expect(message).toContain(`locked by process ${first.pid}`)
    expect(hint).toContain('stop it first')
    expect(inKernel(first)).toHaveLength(7)
  })

  test('a pinned map of another size', async () => {
    const first = await opened()
    await stop(first.child)
    const before = inKernel(first)
    const { code, message, hint } = await refused({ mapSizes: { ...options.mapSizes, w_svc4_v1: 1024 } })
    expect(code).toBe('map-layout')
    expect(message).toContain(`${SANDBOX_BPFFS}/weft/maps/w_svc4_v1`)
    expect(message).toContain('max_entries is 65536, the object wants 1024')
    expect(hint).toContain('weft agent --cleanup')
    expect(inKernel(first)).toEqual(before)
  })

  test('settings that no object knows', async () => {
    expect(await refused({ rodata: { cfg_colour: 1 } })).toMatchObject({
      code: 'unknown-setting',
      message: expect.stringContaining('cfg_colour') as string,
    })
    expect(await refused({ mapSizes: { w_nothing: 1 } })).toMatchObject({
      code: 'unknown-setting',
      message: expect.stringContaining('w_nothing') as string,
    })
  })

  test('objects that are not built', async () => {
    const { code, message, hint } = await refused({ objectsDir: '/nonexistent' })
    expect(code).toBe('object-missing')
    expect(message).toContain('/nonexistent/weft_sock.o')
    expect(hint).toContain('make bpf')
  })

  test.each([
    ['no-bpffs', { bpfRoot: '/tmp' }, 'mount -t bpf bpf /tmp'],
    ['no-cgroup2', { cgroupRoot: '/tmp' }, 'mount -t cgroup2'],
    ['no-cgroup2', { cgroupRoot: '/sys/fs/cgroup/none' }, 'mount -t cgroup2'],
    ['no-uplink', { uplink: 'absent0' }, 'ip route'],
  ])('%s: %j', async (code, over, advice) => {
    const error = await refused(over)
    expect(error.code).toBe(code)
    expect(error.hint).toContain(advice)
    expect(sandbox.run('ls', SANDBOX_BPFFS)).not.toContain('weft')
  })

  test('too few privileges', async () => {
    const { code, message, hint } = await refused({}, ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all'])
    expect(code).toBe('not-privileged')
    expect(message).toContain('CAP_BPF')
    expect(hint).toContain('run as root')
  })
})
