import { closeSync, openSync } from 'node:fs'
import { AttachType } from './constants.ts'
import { BpfError, Errno } from './errors.ts'
import { FdOwner, objectInfo, openPin } from './fd.ts'
import { Mem } from './foreign.ts'
import { native } from './libbpf.ts'
import type { BpfProgram } from './program.ts'

const LINK_INFO_SIZE = 48
const LINK_CREATE_OPTS_SIZE = 64
const LINK_UPDATE_OPTS_SIZE = 16
const PROG_QUERY_OPTS_SIZE = 40
const BPF_F_REPLACE = 4

/** `enum bpf_link_type`, as far as weft makes them. */
export const LinkType = { CGROUP: 3, XDP: 6, TCX: 11 } as const

/** What the kernel says of a link. A detached link has `ifindex` 0. */
export type LinkInfo = {
  type: number
  id: number
  progId: number
  /** tcx and XDP only. */
  ifindex: number | undefined
  /** cgroup only: inode number of its directory; 0 once that is gone. */
  cgroupId: bigint | undefined
  /** tcx and cgroup only: `enum bpf_attach_type`. */
  attachType: number | undefined
}

/** Direction of a tc attachment, as the host sees the device. */
export type Direction = 'ingress' | 'egress'

/** Owner of one link fd. The program stays attached until the last fd is closed and the pin is gone, or {@link detach}. */
export class BpfLink extends FdOwner {
  private constructor(fd: number, subject: string) {
    super(fd, subject)
  }

  /**
   * Attach to a cgroup2 directory, beside other programs there. `attachType` defaults to the one the program was loaded for.
   * BPF_EINVAL when the directory is not on cgroup2 or the program is of another type.
   */
  static attachCgroup(program: BpfProgram, cgroupDir: string, attachType = program.expectedAttachType): BpfLink {
    if (attachType === undefined) {
      throw new BpfError({
        fn: 'attachCgroup',
        code: 'BPF_ARGUMENT',
        subject: program.name,
        reason: 'the attach type of a program opened from a pin must be given',
      })
    }
    let dir: number
    try {
      dir = openSync(cgroupDir, 'r')
    } catch (cause) {
      throw new BpfError({
        fn: 'open',
        code: 'BPF_ENOENT',
        errno: Errno.ENOENT,
        subject: cgroupDir,
        hint: 'the cgroup2 directory must exist',
        cause,
      })
    }
    try {
      return BpfLink.create(program, dir, attachType, 0, `${program.name} on ${cgroupDir}`)
    } finally {
      closeSync(dir)
    }
  }

  /** Attach at tcx, after the programs already there (Linux 6.6). BPF_EINVAL before: use clsact, see `kernelHasTcx`. */
  static attachTcx(program: BpfProgram, ifindex: number, direction: Direction): BpfLink {
    const type = direction === 'ingress' ? AttachType.TCX_INGRESS : AttachType.TCX_EGRESS
    return BpfLink.create(program, ifindex, type, 0, `${program.name} on ifindex ${ifindex} ${direction}`)
  }

  /** Attach to XDP (Linux 5.9). `flags` from XdpFlag. BPF_EBUSY when a program is there without a link. */
  static attachXdp(program: BpfProgram, ifindex: number, flags = 0): BpfLink {
    return BpfLink.create(program, ifindex, AttachType.XDP, flags, `${program.name} on ifindex ${ifindex} xdp`)
  }

  /** Open the link pinned at `path`. BPF_ENOENT when nothing is there. */
  static openPinned(path: string): BpfLink {
    return new BpfLink(openPin(path, 'link'), path)
  }

  /** Replace the program in one step: no packet sees neither. With `old`, only if `old` is what is attached (BPF_EPERM otherwise). */
  update(program: BpfProgram, old?: BpfProgram): void {
    const opts = new Mem(LINK_UPDATE_OPTS_SIZE)
    opts.bytes.writeBigUInt64LE(BigInt(LINK_UPDATE_OPTS_SIZE), 0)
    if (old !== undefined) {
      opts.bytes.writeUInt32LE(BPF_F_REPLACE, 8)
      opts.bytes.writeUInt32LE(old.fd, 12)
    }
    const rc = native().linkUpdate.int(this.fd, program.fd, opts.address)
    if (rc < 0) throw new BpfError({ fn: 'bpf_link_update', errno: -rc, subject: this.subject })
  }

  /** Detach now, whoever else holds the link. A pin of it stays and is dead: unlink it. */
  detach(): void {
    const rc = native().linkDetach.int(this.fd)
    if (rc < 0) throw new BpfError({ fn: 'bpf_link_detach', errno: -rc, subject: this.subject })
  }

  /** Ask the kernel what is attached where. */
  info(): LinkInfo {
    const raw = objectInfo(this.fd, LINK_INFO_SIZE, this.subject)
    const type = raw.readUInt32LE(0)
    return {
      type,
      id: raw.readUInt32LE(4),
      progId: raw.readUInt32LE(8),
      ifindex: type === LinkType.TCX || type === LinkType.XDP ? raw.readUInt32LE(16) : undefined,
      cgroupId: type === LinkType.CGROUP ? raw.readBigUInt64LE(16) : undefined,
      // cgroup: u64 cgroup_id, u32 attach_type; tcx: u32 ifindex, u32 attach_type.
      attachType:
        type === LinkType.TCX ? raw.readUInt32LE(20) : type === LinkType.CGROUP ? raw.readUInt32LE(24) : undefined,
    }
  }

  private static create(
    program: BpfProgram,
    target: number,
    attachType: number,
    flags: number,
    subject: string,
  ): BpfLink {
    const opts = new Mem(LINK_CREATE_OPTS_SIZE)
    opts.bytes.writeBigUInt64LE(BigInt(LINK_CREATE_OPTS_SIZE), 0)
    opts.bytes.writeUInt32LE(flags, 8)
    const fd = native().linkCreate.int(program.fd, target, attachType, opts.address)
    if (fd < 0) throw new BpfError({ fn: 'bpf_link_create', errno: -fd, subject })
    return new BpfLink(fd, subject)
  }
}

let tcx: boolean | undefined

/** Whether this kernel has tcx (Linux 6.6). Asks the kernel, by a query of the loopback device, and attaches nothing. */
export function kernelHasTcx(): boolean {
  if (tcx === undefined) {
    const opts = new Mem(PROG_QUERY_OPTS_SIZE)
    opts.bytes.writeBigUInt64LE(BigInt(PROG_QUERY_OPTS_SIZE), 0)
    const rc = native().progQuery.int(1, AttachType.TCX_INGRESS, opts.address)
    if (rc < 0 && rc !== -Errno.EINVAL) throw new BpfError({ fn: 'bpf_prog_query_opts', errno: -rc, subject: 'tcx' })
    tcx = rc === 0
  }
  return tcx
}
