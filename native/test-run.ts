import { BpfError } from './errors.ts'
import { Mem } from './foreign.ts'
import { native } from './libbpf.ts'

const OPTS_SIZE = 80

/** Sizes of what a {@link TestRun} holds: packet in and out, context in and out (none: 0). */
export type TestRunRoom = { data: number; out: number; ctx: number }

/**
 * BPF_PROG_TEST_RUN with buffers that are filled and read in place: for many runs of one program. Valid while the program's
 * owner is open.
 */
export class TestRun {
  /** The packet: fill it, and say in {@link run} how long it is. */
  readonly data: Buffer
  /** The context. It stays as it is. */
  readonly ctx: Buffer
  private readonly out: Mem
  private readonly ctxAfter: Mem
  private readonly opts = new Mem(OPTS_SIZE)
  private readonly fd: number
  private readonly subject: string

  constructor(program: { readonly fd: number; readonly subject: string }, room: TestRunRoom) {
    this.fd = program.fd
    this.subject = program.subject
    const data = new Mem(room.data)
    const ctx = new Mem(room.ctx)
    this.out = new Mem(room.out)
    this.ctxAfter = new Mem(room.ctx)
    this.data = data.bytes
    this.ctx = ctx.bytes
    const o = this.opts.bytes
    o.writeBigUInt64LE(BigInt(OPTS_SIZE), 0)
    o.writeBigUInt64LE(BigInt(data.address), 8)
    o.writeBigUInt64LE(BigInt(this.out.address), 16)
    if (room.ctx === 0) return
    o.writeBigUInt64LE(BigInt(ctx.address), 32)
    o.writeBigUInt64LE(BigInt(this.ctxAfter.address), 40)
    o.writeUInt32LE(room.ctx, 48)
  }

  /** Run on the first `length` bytes: what the program returned. Each repetition gets the packet as the one before left it. */
  run(length: number, repeat = 1, flags = 0): number {
    if (length > this.data.length) throw new RangeError(`a packet of ${length} bytes in ${this.data.length}`)
    const o = this.opts.bytes
    o.writeUInt32LE(length, 24)
    o.writeUInt32LE(this.out.bytes.length, 28)
    o.writeUInt32LE(this.ctxAfter.bytes.length, 52)
    o.writeInt32LE(repeat, 60)
    o.writeUInt32LE(flags, 68)
    const rc = native().progTestRun.int(this.fd, this.opts.address)
    if (rc < 0) throw new BpfError({ fn: 'bpf_prog_test_run_opts', errno: -rc, subject: this.subject })
    return o.readInt32LE(56)
  }

  /** The packet after the last run, until the next one. */
  get result(): Buffer {
    return this.out.bytes.subarray(0, this.opts.bytes.readUInt32LE(28))
  }

  /** The context after the last run, until the next one. */
  get ctxResult(): Buffer {
    return this.ctxAfter.bytes.subarray(0, this.opts.bytes.readUInt32LE(52))
  }

  /** Mean duration of a repetition. */
  get durationNs(): number {
    return this.opts.bytes.readUInt32LE(64)
  }
}
