import { mkdirSync, readFileSync, statfsSync } from 'node:fs'
import { release } from 'node:os'
import { dirname } from 'node:path'
import { BpfError } from './errors.ts'
import { native } from './libbpf.ts'

const BPF_FS_MAGIC = 0xcafe4a11
const CAP = { NET_ADMIN: 12, SYS_ADMIN: 21, PERFMON: 38, BPF: 39 } as const
/** The oldest kernel weft runs on. */
export const MINIMUM_KERNEL = '5.15'

/** Answer of a probe: what was found, and what to do when it is not enough. */
export type Feature = { ok: boolean; detail: string; hint: string | undefined }

function feature(ok: boolean, detail: string, hint: string): Feature {
  return { ok, detail, hint: ok ? undefined : hint }
}

/** May this process load and attach programs: CAP_SYS_ADMIN, or CAP_BPF with CAP_NET_ADMIN and CAP_PERFMON (Linux 5.8). */
export function probePrivileges(status = readFileSync('/proc/self/status', 'utf8')): Feature {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  const has = (cap: number): boolean => ((effective >> BigInt(cap)) & 1n) === 1n
  const missing = (['BPF', 'NET_ADMIN', 'PERFMON'] as const).filter((cap) => !has(CAP[cap]))
  const ok = has(CAP.SYS_ADMIN) || missing.length === 0
  const detail = ok ? 'may load and attach programs' : `missing ${missing.map((cap) => `CAP_${cap}`).join(', ')}`
  return feature(ok, detail, 'run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON')
}

/** Is the kernel at least `minimum` (`major.minor`)? */
export function probeKernel(version = release(), minimum = MINIMUM_KERNEL): Feature {
  const number = (text: string): number => {
    const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(text) ?? []
    return Number(major) * 1000 + Number(minor)
  }
  const ok = number(version) >= number(minimum)
  return feature(ok, `Linux ${version}`, `Linux ${minimum} or later is needed: upgrade the kernel`)
}

/** Is libbpf 1.x there, and does it load? */
export function probeLibbpf(): Feature {
  const hint = 'apt-get install libbpf1'
  try {
    const n = native()
    const major = n.majorVersion.int()
    return feature(major >= 1, `libbpf ${major}.${n.minorVersion.int()}`, hint)
  } catch (error) {
    if (!(error instanceof BpfError)) throw error
    return feature(false, error.message, error.hint ?? hint)
  }
}

/**
 * Is `path`, or where it would be made, on a bpffs? Looks at the file system's type: a namespace made by `ip netns exec`
 * has a /sys/fs/bpf that is plain sysfs.
 */
export function probeBpffs(path: string): Feature {
  const existing = nearestExisting(path)
  const type = statfsSync(existing).type >>> 0
  const ok = type === BPF_FS_MAGIC
  const detail = ok ? `bpffs at ${existing}` : `${existing} is not a bpffs (file system type 0x${type.toString(16)})`
  return feature(ok, detail, `mkdir -p ${path} && mount -t bpf bpf ${path}, or choose another directory`)
}

/** Where cgroup2 is mounted, as an answer. */
export function probeCgroup2(): Feature {
  const mount = cgroup2Mount()
  const hint = 'mkdir -p /run/weft/cgroup && mount -t cgroup2 none /run/weft/cgroup'
  return feature(mount !== undefined, mount === undefined ? 'no cgroup2 is mounted' : `cgroup2 at ${mount}`, hint)
}

/** Mount point of cgroup2 in this mount namespace; undefined when there is none. Finds hybrid layouts (`/sys/fs/cgroup/unified`) too. */
export function cgroup2Mount(): string | undefined {
  return findCgroup2(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** The cgroup2 mount in the text of /proc/self/mountinfo (proc_pid_mountinfo(5)); whole hierarchies go before bind mounts of a part. Pure. */
export function findCgroup2(mountinfo: string): string | undefined {
  const mounts = mountinfo.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ')
    const [, , , root, point] = left.split(' ')
    if (!right.startsWith('cgroup2 ') || root === undefined || point === undefined) return []
    return [{ root, point: unescape(point) }]
  })
  return (mounts.find((m) => m.root === '/') ?? mounts[0])?.point
}

/**
 * Make a directory for pins, parents included. Checks for bpffs first and makes one level at a time: Node's recursive mkdir
 * never returns below a sysfs.
 */
export function makePinDirectory(path: string): void {
  const probe = probeBpffs(path)
  if (!probe.ok) {
    throw new BpfError({
      fn: 'mkdir',
      code: 'BPF_NO_BPFFS',
      subject: path,
      reason: probe.detail,
      ...(probe.hint === undefined ? {} : { hint: probe.hint }),
    })
  }
  const missing: string[] = []
  for (let at = path; !exists(at); at = dirname(at)) missing.unshift(at)
  for (const directory of missing) mkdirSync(directory, { mode: 0o700 })
}

function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

function exists(path: string): boolean {
  return nearestExisting(path) === path
}

function nearestExisting(path: string): string {
  for (let at = path; ; at = dirname(at)) {
    try {
      statfsSync(at)
      return at
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if ((code !== 'ENOENT' && code !== 'ENOTDIR') || at === dirname(at)) throw error
    }
  }
}
