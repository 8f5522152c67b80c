import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, realpathSync, rmdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  BpfMap,
  cgroup2Mount,
  makePinDirectory,
  MapType,
  probeBpffs,
  probeCgroup2,
  probeKernel,
  probeLibbpf,
  probePrivileges,
} from '../../native/index.ts'
import { caught, type Fixture, makeFixture } from './native-fixture.ts'

const LIBRARY = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/libbpf.so.1`
let fixture: Fixture

beforeAll(() => {
  fixture = makeFixture()
})
afterAll(() => {
  fixture.close()
})

// First, because the library is loaded once per process.
it('without libbpf every use says what to install', () => {
  const require = createRequire(import.meta.url)
  type Libc = { unshare(flags: number): number }
  type Ffi = { Library(name: null, functions: Record<string, [string, string[]]>): Libc }
  const ffi = require('ffi-napi') as Ffi
  // A mount namespace of this process alone, where the library is an empty file.
  const CLONE_NEWNS = 0x20000
  expect(ffi.Library(null, { unshare: ['int', ['int']] }).unshare(CLONE_NEWNS)).toBe(0)
  execFileSync('mount', ['--make-rprivate', '/'])
  const file = realpathSync(LIBRARY)
  execFileSync('mount', ['--bind', '/dev/null', file])
  try {
    const spec = { type: MapType.HASH, name: 'x', keySize: 4, valueSize: 4, maxEntries: 1 }
    expect(caught(() => BpfMap.create(spec))).toMatchObject({ code: 'BPF_NO_LIBBPF', hint: 'apt-get install libbpf1' })
    expect(probeLibbpf()).toMatchObject({ ok: false, hint: 'apt-get install libbpf1' })
  } finally {
    execFileSync('umount', [file])
  }
  expect(probeLibbpf()).toMatchObject({ ok: true, hint: undefined })
})

it('this machine has what weft needs', () => {
  expect(probePrivileges()).toMatchObject({ ok: true, hint: undefined })
  expect(probeKernel().ok).toBe(true)
  expect(probeCgroup2().ok).toBe(true)
  expect(existsSync(join(cgroup2Mount() ?? '', 'cgroup.procs'))).toBe(true)
})

it('tells a bpffs from a directory, also for a path not made yet', () => {
  expect(probeBpffs(fixture.bpffs).ok).toBe(true)
  expect(probeBpffs(join(fixture.bpffs, 'a/b')).ok).toBe(true)
  const plain = probeBpffs(join(fixture.dir, 'a/b'))
  expect(plain.ok).toBe(false)
  expect(plain.detail).toContain(`${fixture.dir} is not a bpffs`)
  expect(plain.hint).toContain('mount -t bpf bpf')
  expect(probeBpffs('/sys/kernel').ok).toBe(false)
})

it('makes pin directories on a bpffs only, and refuses sysfs instead of hanging', () => {
  const deep = join(fixture.bpffs, 'weft/maps')
  makePinDirectory(deep)
  makePinDirectory(deep)
  expect(existsSync(deep)).toBe(true)
  rmdirSync(deep)
  rmdirSync(join(fixture.bpffs, 'weft'))
  expect(caught(() => makePinDirectory('/sys/kernel/weft/maps')).code).toBe('BPF_NO_BPFFS')
  const plain = join(fixture.dir, 'plain')
  mkdirSync(plain)
  expect(caught(() => makePinDirectory(plain)).message).toContain('mount -t bpf bpf')
})
