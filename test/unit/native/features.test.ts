import { describe, expect, it } from 'vitest'
import { findCgroup2, probeKernel, probePrivileges } from '../../../native/features.ts'

const line = (root: string, point: string, type: string): string =>
  `36 35 0:33 ${root} ${point} rw,nosuid shared:9 - ${type} cgroup rw,nsdelegate`

describe('findCgroup2', () => {
  it('finds the unified layout and the hybrid one', () => {
    expect(findCgroup2(line('/', '/sys/fs/cgroup', 'cgroup2'))).toBe('/sys/fs/cgroup')
    const hybrid = [line('/', '/sys/fs/cgroup', 'tmpfs'), line('/', '/sys/fs/cgroup/cpu', 'cgroup')]
    expect(findCgroup2([...hybrid, line('/', '/sys/fs/cgroup/unified', 'cgroup2')].join('\n'))).toBe(
      '/sys/fs/cgroup/unified',
    )
    expect(findCgroup2(hybrid.join('\n'))).toBeUndefined()
  })

  it('prefers the whole hierarchy to a part of it, and decodes spaces', () => {
    const part = line('/kubepods', '/run/part', 'cgroup2')
    expect(findCgroup2(`${part}\n${line('/', '/mnt/a\\040b', 'cgroup2')}\n`)).toBe('/mnt/a b')
    expect(findCgroup2(part)).toBe('/run/part')
  })

  it('is not confused by mounts without optional fields or with many', () => {
    expect(findCgroup2('1 2 0:3 / /cg rw - cgroup2 none rw')).toBe('/cg')
    expect(findCgroup2('1 2 0:3 / /cg rw shared:1 master:2 propagate_from:3 - cgroup2 none rw')).toBe('/cg')
    expect(findCgroup2('')).toBeUndefined()
  })
})

describe('probeKernel', () => {
  it.each([
    ['6.1.0-56-amd64', true],
    ['5.15.0', true],
    ['5.9.16', false],
    ['4.20.1', false],
    ['10.0', true],
    ['unknown', false],
  ])('%s: %s', (version, ok) => {
    expect(probeKernel(version).ok).toBe(ok)
  })
})

describe('probePrivileges', () => {
  const status = (caps: bigint): string => `Name:\tnode\nCapEff:\t${caps.toString(16).padStart(16, '0')}\nCapBnd:\t0\n`

  it('accepts CAP_SYS_ADMIN, or the three that replace it', () => {
    expect(probePrivileges(status(1n << 21n)).ok).toBe(true)
    expect(probePrivileges(status((1n << 39n) | (1n << 38n) | (1n << 12n))).ok).toBe(true)
  })

  it('names what is missing', () => {
    expect(probePrivileges(status(1n << 39n))).toMatchObject({
      ok: false,
      detail: 'missing CAP_NET_ADMIN, CAP_PERFMON',
    })
    expect(probePrivileges('garbage').ok).toBe(false)
  })
})
