import { existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  AttachType,
  BpfLink,
  BpfMap,
  BpfObject,
  BpfProgram,
  cgroup2Mount,
  ClsactHook,
  ifIndex,
  ifName,
  kernelHasTcx,
  LinkType,
  newNetns,
  XdpVerdict,
} from '../../native/index.ts'
import { caught, type Fixture, frame, makeFixture } from './native-fixture.ts'

const NAME = `wn${process.pid}`
let fixture: Fixture
let object: BpfObject

beforeAll(() => {
  // A namespace of this process alone: its devices go with it, however it ends.
  newNetns()
  execFileSync('ip', ['link', 'set', 'lo', 'up'])
  fixture = makeFixture()
  object = BpfObject.open(fixture.object, { skipPrograms: ['broken'] }).load()
  execFileSync('ip', ['link', 'add', NAME, 'type', 'veth', 'peer', 'name', `${NAME}p`])
})
afterAll(() => {
  object.close()
  fixture.close()
})

describe('cgroup link', () => {
  let dir: string
  beforeAll(() => {
    const root = cgroup2Mount()
    if (root === undefined) throw new Error('no cgroup2 is mounted')
    // What a killed run left behind.
    for (const entry of readdirSync(root)) {
      const pid = /^wn(\d+)$/.exec(entry)?.[1]
      if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmdirSync(join(root, entry))
    }
    dir = join(root, NAME)
    mkdirSync(dir)
  })
  afterAll(() => {
    rmdirSync(dir)
  })

  /** Exit status of a process of the cgroup that tries to connect to a port nobody listens on. */
  const connects = (): 'refused' | 'denied' => {
    const script = `echo $$ > ${dir}/cgroup.procs; exec 3<>/dev/tcp/127.0.0.1/1`
    const { stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
    return stderr.includes('refused') ? 'refused' : 'denied'
  }

  it('attaches, survives its fd by a pin, is reopened, updated, detached', () => {
    const pin = join(fixture.bpffs, 'connect4')
    const link = BpfLink.attachCgroup(object.program('deny'), dir)
    expect(connects()).toBe('denied')
    link.pin(pin)
    link.close()
    expect(connects()).toBe('denied')
    using again = BpfLink.openPinned(pin)
    expect(again.info()).toMatchObject({ type: LinkType.CGROUP, attachType: AttachType.CGROUP_INET4_CONNECT })
    again.update(object.program('allow'))
    expect(again.info().progId).toBe(object.program('allow').info().id)
    expect(connects()).toBe('refused')
    again.update(object.program('deny'), object.program('allow'))
    expect(caught(() => again.update(object.program('allow'), object.program('allow'))).code).toBe('BPF_EPERM')
    again.detach()
    expect(connects()).toBe('refused')
    unlinkSync(pin)
  })

  it('refuses a directory that is no cgroup, and one that is not there', () => {
    expect(caught(() => BpfLink.attachCgroup(object.program('deny'), fixture.dir)).code).toBe('BPF_EBADF')
    expect(caught(() => BpfLink.attachCgroup(object.program('deny'), `${dir}/none`)).subject).toBe(`${dir}/none`)
  })
})

describe.runIf(kernelHasTcx())('tcx link', () => {
  it('attaches both ways, is pinned, reopened, updated and detached', () => {
    const index = ifIndex(NAME)
    const pin = join(fixture.bpffs, 'tcx')
    BpfLink.attachTcx(object.program('count'), index, 'ingress').pin(pin)
    using egress = BpfLink.attachTcx(object.program('count'), index, 'egress')
    expect(egress.info()).toMatchObject({ type: LinkType.TCX, ifindex: index, attachType: AttachType.TCX_EGRESS })
    using link = BpfLink.openPinned(pin)
    link.update(object.program('count_more'))
    expect(link.info()).toMatchObject({ ifindex: index, progId: object.program('count_more').info().id })
    link.detach()
    expect(link.info().ifindex).toBe(0)
    unlinkSync(pin)
  })

  it('sees real packets', async () => {
    execFileSync('ip', ['link', 'set', NAME, 'up'])
    execFileSync('ip', ['link', 'set', `${NAME}p`, 'up'])
    using link = BpfLink.attachTcx(object.program('count'), ifIndex(NAME), 'egress')
    using hits = object.map('hits')
    spawnSync('ping', ['-c1', '-W0.1', '-I', NAME, '224.0.0.1'])
    await expect.poll(() => hits.lookup(Buffer.alloc(4))).toBeDefined()
    expect(link.closed).toBe(false)
  })
})

describe('clsact', () => {
  it('attaches, replaces, answers, detaches; a second ensure keeps it', () => {
    const hook = ClsactHook.ensure(ifIndex(NAME))
    expect(hook.query('ingress')).toBeUndefined()
    expect(hook.attach(object.program('count'), 'ingress')).toBe(object.program('count').info().id)
    expect(caught(() => hook.attach(object.program('count'), 'ingress', {}, false)).code).toBe('BPF_EEXIST')
    hook.attach(object.program('count_more'), 'ingress')
    const again = ClsactHook.ensure(ifIndex(NAME))
    expect(again.query('ingress')).toBe(object.program('count_more').info().id)
    expect(again.query('egress')).toBeUndefined()
    expect(again.detach('ingress')).toBe(true)
    expect(again.detach('ingress')).toBe(false)
    expect(again.destroy()).toBe(true)
    expect(again.destroy()).toBe(false)
  })
})

describe('xdp link and devices', () => {
  it('attaches to a veth, and not twice', () => {
    const index = ifIndex(`${NAME}p`)
    using link = BpfLink.attachXdp(object.program('pass'), index)
    expect(link.info()).toMatchObject({ type: LinkType.XDP, ifindex: index })
    expect(caught(() => BpfLink.attachXdp(object.program('pass'), index)).code).toBe('BPF_EBUSY')
  })

  it('names devices, and says which one is missing', () => {
    expect(ifName(ifIndex('lo'))).toBe('lo')
    expect(ifName(999_999)).toBeUndefined()
    expect(caught(() => ifIndex('nosuchdev'))).toMatchObject({ code: 'BPF_ENODEV', subject: 'nosuchdev' })
  })

  it('reopens a pinned program, which then runs', () => {
    const pin = join(fixture.bpffs, 'prog')
    object.program('pass').pin(pin)
    using program = BpfProgram.openPinned(pin)
    expect(program.info()).toMatchObject({ name: 'pass', id: object.program('pass').info().id })
    expect(program.testRun({ data: frame() }).retval).toBe(XdpVerdict.PASS)
    expect(caught(() => BpfMap.openPinned(pin)).message).toContain('a prog is pinned there, not a map')
    expect(caught(() => BpfLink.openPinned(pin)).code).toBe('BPF_ARGUMENT')
  })
})
