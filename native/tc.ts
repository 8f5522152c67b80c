import { BpfError, Errno } from './errors.ts'
import { Mem } from './foreign.ts'
import { native } from './libbpf.ts'
import type { Direction } from './link.ts'
import type { BpfProgram } from './program.ts'

const HOOK_SIZE = 24
const OPTS_SIZE = 32
const INGRESS = 1
const EGRESS = 2
const REPLACE = 1

/** Which filter of a hook: several may sit at one, lower priority numbers run first. */
export type FilterId = { handle?: number; priority?: number }

/**
 * The clsact qdisc of a device: where programs attach on kernels without tcx (before 6.6). Works by rtnetlink in the calling
 * thread's network namespace. A filter has no owner: it stays after the process ends, until {@link detach} or the device goes.
 */
export class ClsactHook {
  readonly ifindex: number

  private constructor(ifindex: number) {
    this.ifindex = ifindex
  }

  /** Make sure the device has a clsact qdisc; one that is there is kept. BPF_ENODEV or BPF_EINVAL when the device is not there. */
  static ensure(ifindex: number): ClsactHook {
    const hook = new ClsactHook(ifindex)
    const rc = native().tcHookCreate.int(hook.hook(INGRESS | EGRESS).address)
    if (rc < 0 && rc !== -Errno.EEXIST) throw hook.error('bpf_tc_hook_create', -rc)
    return hook
  }

  /**
   * Attach a direct-action filter and return the id of its program. With `replace` (default) the filter of the same handle
   * and priority is exchanged in one step; without it a taken place is BPF_EEXIST.
   */
  attach(program: BpfProgram, direction: Direction, id: FilterId = {}, replace = true): number {
    const opts = this.options(id)
    opts.bytes.writeInt32LE(program.fd, 8)
    opts.bytes.writeUInt32LE(replace ? REPLACE : 0, 12)
    const rc = native().tcAttach.int(this.hook(point(direction)).address, opts.address)
    if (rc < 0) throw this.error('bpf_tc_attach', -rc, `${program.name} at ${direction} of`)
    return opts.bytes.readUInt32LE(16)
  }

  /** Kernel id of the program attached there; undefined when there is none. */
  query(direction: Direction, id: FilterId = {}): number | undefined {
    const opts = this.options(id)
    const rc = native().tcQuery.int(this.hook(point(direction)).address, opts.address)
    if (isAbsent(rc)) return undefined
    if (rc < 0) throw this.error('bpf_tc_query', -rc)
    return opts.bytes.readUInt32LE(16)
  }

  /** Remove the filter; false when there was none. */
  detach(direction: Direction, id: FilterId = {}): boolean {
    const rc = native().tcDetach.int(this.hook(point(direction)).address, this.options(id).address)
    if (isAbsent(rc)) return false
    if (rc < 0) throw this.error('bpf_tc_detach', -rc)
    return true
  }

  /** Remove the qdisc with **every** filter on it, other people's too; false when there was none. */
  destroy(): boolean {
    const rc = native().tcHookDestroy.int(this.hook(INGRESS | EGRESS).address)
    if (isAbsent(rc)) return false
    if (rc < 0) throw this.error('bpf_tc_hook_destroy', -rc)
    return true
  }

  private hook(attachPoint: number): Mem {
    const mem = new Mem(HOOK_SIZE)
    mem.bytes.writeBigUInt64LE(BigInt(HOOK_SIZE), 0)
    mem.bytes.writeInt32LE(this.ifindex, 8)
    mem.bytes.writeInt32LE(attachPoint, 12)
    return mem
  }

  /** Fresh for every call: libbpf refuses options that carry the answer of an earlier one. */
  private options(id: FilterId): Mem {
    const mem = new Mem(OPTS_SIZE)
    mem.bytes.writeBigUInt64LE(BigInt(OPTS_SIZE), 0)
    mem.bytes.writeUInt32LE(id.handle ?? 1, 20)
    mem.bytes.writeUInt32LE(id.priority ?? 1, 24)
    return mem
  }

  private error(fn: string, errno: number, what = 'clsact of'): BpfError {
    return new BpfError({ fn, errno, subject: `${what} ifindex ${this.ifindex}` })
  }
}

const point = (direction: Direction): number => (direction === 'ingress' ? INGRESS : EGRESS)

/** The kernel answers EINVAL when there is no qdisc, ENOENT when the qdisc has no such filter. */
const isAbsent = (rc: number): boolean => rc === -Errno.ENOENT || rc === -Errno.EINVAL
