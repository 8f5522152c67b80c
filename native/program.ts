import { cString, FdOwner, objectInfo, openPin } from './fd.ts'
import { BpfError } from './errors.ts'
import { Mem, native } from './libbpf.ts'

const PROG_INFO_SIZE = 232
const TEST_RUN_OPTS_SIZE = 80
/** Room for what a program adds to a packet, when no size is given. */
const GROWTH = 512

/** What the kernel says of a program. `runCount` and `runTimeNs` count only while kernel.bpf_stats_enabled is 1. */
export type ProgramInfo = { type: number; id: number; name: string; tag: string; runTimeNs: bigint; runCount: bigint }

/** Input of {@link BpfProgram.testRun}. */
export type TestRunInput = {
  /** The packet, Ethernet header first; at least 14 bytes. */
  data: Uint8Array
  /** The context struct: 192-byte __sk_buff for tc, 24-byte xdp_md for XDP. */
  ctx?: Uint8Array
  /** Runs, default 1. **Each run gets the packet as the one before left it.** */
  repeat?: number
  /** Room for the resulting packet, default the input and 512 bytes. */
  dataOutSize?: number
  /** BPF_F_TEST_*: 4 gives the skb a CHECKSUM_COMPLETE sum and checks it afterwards (EBADMSG; Linux 6.16). */
  flags?: number
}

/** Result of a test run: the program's return value, the packet afterwards, mean duration of one run, context afterwards when one was given. */
export type TestRunResult = { retval: number; data: Buffer; durationNs: number; ctx: Buffer | undefined }

/** Owner of one loaded program's fd. */
export class BpfProgram extends FdOwner {
  /** C function name, or the pin's path. */
  readonly name: string
  /** `enum bpf_attach_type` the program was loaded for; undefined when it was opened from a pin. */
  readonly expectedAttachType: number | undefined
  /** ELF section (`cgroup/connect4`, `tc`); undefined when it was opened from a pin. */
  readonly section: string | undefined

  private constructor(fd: number, name: string, expectedAttachType?: number, section?: string) {
    super(fd, name)
    this.name = name
    this.expectedAttachType = expectedAttachType
    this.section = section
  }

  /** Take over a program fd: this object closes it. */
  static fromFd(fd: number, name: string, expectedAttachType?: number, section?: string): BpfProgram {
    return new BpfProgram(fd, name, expectedAttachType, section)
  }

  /** Open the program pinned at `path`. BPF_ENOENT when nothing is there. */
  static openPinned(path: string): BpfProgram {
    return new BpfProgram(openPin(path, 'prog'), path)
  }

  /** Open a program by kernel id, as link info gives it. */
  static openById(id: number): BpfProgram {
    const fd = native().progFdById.int(id)
    if (fd < 0) throw new BpfError({ fn: 'bpf_prog_get_fd_by_id', errno: -fd, subject: `program id ${id}` })
    return new BpfProgram(fd, `program id ${id}`)
  }

  /** Ask the kernel: type, id, name (cut to 15 bytes), tag, statistics. */
  info(): ProgramInfo {
    const raw = objectInfo(this.fd, PROG_INFO_SIZE, this.subject)
    return {
      type: raw.readUInt32LE(0),
      id: raw.readUInt32LE(4),
      name: cString(raw, 64, 16),
      tag: raw.toString('hex', 8, 16),
      runTimeNs: raw.readBigUInt64LE(192),
      runCount: raw.readBigUInt64LE(200),
    }
  }

  /**
   * Call a program of type BPF_PROG_TYPE_SYSCALL (Linux 5.14) with `args`, at most 64 KiB: what it returned, and what it made
   * of them.
   */
  call(args: Uint8Array): { retval: number; args: Buffer } {
    const ctx = copy(args)
    const opts = new Mem(TEST_RUN_OPTS_SIZE)
    opts.bytes.writeBigUInt64LE(BigInt(TEST_RUN_OPTS_SIZE), 0)
    opts.bytes.writeBigUInt64LE(BigInt(ctx.address), 32)
    opts.bytes.writeUInt32LE(ctx.bytes.length, 48)
    const rc = native().progTestRun.int(this.fd, opts.address)
    if (rc < 0) throw new BpfError({ fn: 'bpf_prog_test_run_opts', errno: -rc, subject: this.subject })
    return { retval: opts.bytes.readInt32LE(56), args: ctx.bytes }
  }

  /** Run the program on a packet without any device (BPF_PROG_TEST_RUN). Maps are read and written for real. */
  testRun(input: TestRunInput): TestRunResult {
    const data = copy(input.data)
    const out = new Mem(input.dataOutSize ?? input.data.length + GROWTH)
    const ctx = input.ctx === undefined ? undefined : copy(input.ctx)
    const ctxOut = input.ctx === undefined ? undefined : new Mem(input.ctx.length)
    const opts = new Mem(TEST_RUN_OPTS_SIZE)
    const o = opts.bytes
    o.writeBigUInt64LE(BigInt(TEST_RUN_OPTS_SIZE), 0)
    o.writeBigUInt64LE(BigInt(data.address), 8)
    o.writeBigUInt64LE(BigInt(out.address), 16)
    o.writeUInt32LE(input.data.length, 24)
    o.writeUInt32LE(out.bytes.length, 28)
    if (ctx !== undefined && ctxOut !== undefined) {
      o.writeBigUInt64LE(BigInt(ctx.address), 32)
      o.writeBigUInt64LE(BigInt(ctxOut.address), 40)
      o.writeUInt32LE(ctx.bytes.length, 48)
      o.writeUInt32LE(ctxOut.bytes.length, 52)
    }
    o.writeInt32LE(input.repeat ?? 1, 60)
    o.writeUInt32LE(input.flags ?? 0, 68)
    const rc = native().progTestRun.int(this.fd, opts.address)
    if (rc < 0) throw new BpfError({ fn: 'bpf_prog_test_run_opts', errno: -rc, subject: this.subject })
    return {
      retval: o.readInt32LE(56),
      data: Buffer.from(out.bytes.subarray(0, o.readUInt32LE(28))),
      durationNs: o.readUInt32LE(64),
      ctx: ctxOut === undefined ? undefined : Buffer.from(ctxOut.bytes.subarray(0, o.readUInt32LE(52))),
    }
  }
}

function copy(bytes: Uint8Array): Mem {
  const mem = new Mem(bytes.length)
  mem.bytes.set(bytes)
  return mem
}
