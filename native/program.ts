import { cString, FdOwner, objectInfo, openPin } from './fd.ts'
import { BpfError } from './errors.ts'
import { Mem } from './foreign.ts'
import { native } from './libbpf.ts'
import { TestRun, type TestRunRoom } from './test-run.ts'

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
    const room = {
      data: input.data.length,
      out: input.dataOutSize ?? input.data.length + GROWTH,
      ctx: input.ctx?.length ?? 0,
    }
    const run = new TestRun({ fd: this.fd, subject: this.subject }, room)
    run.data.set(input.data)
    if (input.ctx !== undefined) run.ctx.set(input.ctx)
    return {
      retval: run.run(input.data.length, input.repeat, input.flags),
      data: Buffer.from(run.result),
      durationNs: run.durationNs,
      ctx: input.ctx === undefined ? undefined : Buffer.from(run.ctxResult),
    }
  }

  /** The same many times, with buffers made once. */
  prepareTestRun(room: TestRunRoom): TestRun {
    return new TestRun({ fd: this.fd, subject: this.subject }, room)
  }
}

function copy(bytes: Uint8Array): Mem {
  const mem = new Mem(bytes.length)
  mem.bytes.set(bytes)
  return mem
}
