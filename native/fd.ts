import { closeSync, readlinkSync } from 'node:fs'
import { BpfError, Errno } from './errors.ts'
import { Mem } from './foreign.ts'
import { native } from './libbpf.ts'

/** Owner of one BPF file descriptor: closes it once, and refuses use afterwards. */
export abstract class FdOwner {
  /** Name for messages: map, program or link name, or the path it was opened from. */
  readonly subject: string
  private readonly descriptor: number
  private isOpen = true

  protected constructor(fd: number, subject: string) {
    // 0 would be stdin: an fd that was lost on the way, never one that the kernel gave us.
    if (!Number.isInteger(fd) || fd <= 0) {
      throw new BpfError({ fn: 'fd', code: 'BPF_ARGUMENT', subject, reason: `${fd} is not a file descriptor` })
    }
    this.descriptor = fd
    this.subject = subject
  }

  /** The raw descriptor. Owned by this object: do not close it. Throws BPF_CLOSED after {@link close}. */
  get fd(): number {
    if (!this.isOpen) {
      throw new BpfError({
        fn: this.constructor.name,
        code: 'BPF_CLOSED',
        subject: this.subject,
        reason: 'already closed',
      })
    }
    return this.descriptor
  }

  /** Whether {@link close} was called. */
  get closed(): boolean {
    return !this.isOpen
  }

  /** Pin in bpffs: the kernel object outlives this process until the file is unlinked. The directory must exist. BPF_EEXIST when the path is taken. */
  pin(path: string): void {
    const rc = native().objPin.int(this.fd, Mem.string(path).address)
    if (rc < 0)
      throw new BpfError({ fn: 'bpf_obj_pin', errno: -rc, subject: `${this.subject} at ${path}`, ...pinHint(-rc) })
  }

  /** Close the descriptor. Doing it twice is fine. The kernel object lives on while anything else refers to it (pin, program, link). */
  close(): void {
    if (!this.isOpen) return
    this.isOpen = false
    closeSync(this.descriptor)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function pinHint(errno: number): { hint?: string } {
  if (errno === Errno.EEXIST) return { hint: 'something is pinned there already: reuse it or unlink it first' }
  if (errno === Errno.EPERM || errno === Errno.EINVAL || errno === Errno.ENOENT) {
    return { hint: 'the directory must exist on a bpffs: mount -t bpf bpf <dir>' }
  }
  return {}
}

/** Kinds of BPF objects that can be pinned. */
export type PinKind = 'map' | 'prog' | 'link'

/**
 * Descriptor of the `kind` of object pinned at `path`. The caller owns it. BPF_ENOENT when nothing is there, BPF_ARGUMENT when
 * it is of another kind: its info structure would be misread otherwise.
 */
export function openPin(path: string, kind: PinKind): number {
  const rc = native().objGet.int(Mem.string(path).address)
  if (rc < 0) throw new BpfError({ fn: 'bpf_obj_get', errno: -rc, subject: path })
  const found = /bpf[-_](map|prog|link)/.exec(readlinkSync(`/proc/self/fd/${rc}`))?.[1]
  if (found === kind) return rc
  closeSync(rc)
  const reason = `a ${found ?? 'foreign object'} is pinned there, not a ${kind}`
  throw new BpfError({ fn: 'bpf_obj_get', code: 'BPF_ARGUMENT', subject: path, reason })
}

/** The kernel's info structure of an object: a copy of at most `size` bytes. */
export function objectInfo(fd: number, size: number, subject: string): Buffer {
  const info = new Mem(size)
  const length = new Mem(4)
  length.bytes.writeUInt32LE(size)
  const rc = native().objInfo.int(fd, info.address, length.address)
  if (rc < 0) throw new BpfError({ fn: 'bpf_obj_get_info_by_fd', errno: -rc, subject })
  return info.bytes
}

/** A fixed-size C string field. */
export function cString(bytes: Buffer, offset: number, size: number): string {
  const field = bytes.subarray(offset, offset + size)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? size : end)
}

const F_DUPFD_CLOEXEC = 1030

/** A second descriptor for the same kernel object, for an owner of its own. */
export function duplicate(fd: number, subject: string): number {
  const got = native().fcntl.int(fd, F_DUPFD_CLOEXEC, 3)
  if (got < 0) throw new BpfError({ fn: 'fcntl', errno: native().errno(), subject })
  return got
}
