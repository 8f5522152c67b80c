import { constants } from 'node:os'

/** errno values that Node's table lacks: the kernel's ENOTSUPP, and libbpf's own codes (libbpf.h, `enum libbpf_errno`). */
const EXTRA: ReadonlyMap<number, string> = new Map([
  [11, 'EAGAIN'],
  [95, 'EOPNOTSUPP'],
  [524, 'ENOTSUPP'],
  [4000, 'LIBBPF_LIBELF'],
  [4001, 'LIBBPF_FORMAT'],
  [4002, 'LIBBPF_KVERSION'],
  [4003, 'LIBBPF_ENDIAN'],
  [4004, 'LIBBPF_INTERNAL'],
  [4005, 'LIBBPF_RELOC'],
  [4006, 'LIBBPF_LOAD'],
  [4007, 'LIBBPF_VERIFY'],
  [4008, 'LIBBPF_PROG2BIG'],
  [4009, 'LIBBPF_KVER'],
  [4010, 'LIBBPF_PROGTYPE'],
  [4011, 'LIBBPF_WRNGPID'],
  [4012, 'LIBBPF_INVSEQ'],
  [4013, 'LIBBPF_NLPARSE'],
])

const NAMES: ReadonlyMap<number, string> = new Map([
  ...Object.entries(constants.errno).map(([name, value]): [number, string] => [value, name]),
  ...EXTRA,
])

/** Errno numbers this folder compares with. All are positive, as in errno.h. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ERANGE: 34,
  ENOLINK: 67,
  EOPNOTSUPP: 95,
  ENOBUFS: 105,
  ESTALE: 116,
  ENOTSUPP: 524,
} as const

/** Name of an errno value (positive), libbpf's 4000-4013 included; `E<number>` when nobody knows it. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `E${errno}`
}

/** What a {@link BpfError} is made of. `errno` is positive; 0 means the failure did not come from a system call. */
export type BpfErrorInit = {
  /** The native function (or method) that failed. */
  fn: string
  /** Positive errno; leave out for failures found by this library itself and give `code` and `reason`. */
  errno?: number
  /** Overrides the code derived from errno. */
  code?: string
  /** One clause that says what is wrong, when errno alone does not. */
  reason?: string
  /** Map, program, link, path or interface the call was about. */
  subject?: string
  /** What the user can do next. */
  hint?: string
  verifierLog?: string
  /** Entries written before a batch failed. */
  done?: number
  cause?: unknown
}

/** Any failure of `native/`. The message names function, errno, subject and what to do next. */
export class BpfError extends Error {
  override readonly name = 'BpfError'
  /** `BPF_` + errno name (`BPF_ENOENT`), or one of BPF_NO_LIBBPF, BPF_CLOSED, BPF_LAYOUT, BPF_ARGUMENT, BPF_FORMAT, BPF_NOT_FOUND. */
  readonly code: string
  readonly fn: string
  /** Positive errno, 0 when the error did not come from a system call. */
  readonly errno: number
  /** `ENOENT`, `ENOTSUPP`, `LIBBPF_FORMAT` …; empty when errno is 0. */
  readonly errnoName: string
  readonly subject: string | undefined
  /** The last lines of the verifier's log, when a program was refused. */
  readonly verifierLog: string | undefined
  readonly hint: string | undefined
  /** For batch calls: how many entries were written before the failure. */
  readonly done: number | undefined

  constructor(init: BpfErrorInit) {
    const errno = init.errno ?? 0
    const named = errno === 0 ? '' : errnoName(errno)
    const hint = init.hint ?? defaultHint(errno)
    const parts = [init.subject === undefined ? init.fn : `${init.fn} '${init.subject}'`]
    if (named !== '') parts.push(named)
    if (init.reason !== undefined) parts.push(init.reason)
    let message = parts.join(': ')
    if (init.done !== undefined) message += ` (${init.done} entries done)`
    if (hint !== undefined) message += `; ${hint}`
    if (init.verifierLog !== undefined) message += `\n${init.verifierLog}`
    super(message, init.cause === undefined ? undefined : { cause: init.cause })
    this.code = init.code ?? `BPF_${named === '' ? 'ERROR' : named}`
    this.fn = init.fn
    this.errno = errno
    this.errnoName = named
    this.subject = init.subject
    this.verifierLog = init.verifierLog
    this.hint = hint
    this.done = init.done
  }
}

function defaultHint(errno: number): string | undefined {
  switch (errno) {
    case Errno.EPERM:
    case Errno.EACCES:
      return 'run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON'
    case Errno.E2BIG:
      return 'the map is full: raise its max_entries'
    case Errno.ENOMEM:
      return 'the kernel has no memory for it: check the memory limit of the cgroup and max_entries'
    case 4001:
      return 'the object file is not a BPF ELF object: build it again'
    default:
      return undefined
  }
}

/** Last `lines` lines of a verifier log, without the statistics footer's empty end. Undefined for an empty log. */
export function logTail(log: string, lines = 20): string | undefined {
  const kept = log.trimEnd()
  return kept === '' ? undefined : kept.split('\n').slice(-lines).join('\n')
}
