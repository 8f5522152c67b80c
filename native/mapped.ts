import { BpfError } from './errors.ts'
import { duplicate, FdOwner } from './fd.ts'
import type { Address } from './foreign.ts'
import { native } from './libbpf.ts'

const PROT_READ = 1
const PROT_WRITE = 2
const MAP_SHARED = 1
const MAP_PRIVATE = 2
const MAP_FIXED = 0x10
const MAP_ANONYMOUS = 0x20
const MAP_NORESERVE = 0x4000

/** Map `length` bytes of a BPF fd, in place of what is `at` an address of ours where one is given. The caller gives them back with {@link retire}. */
export function mapShared(
  fd: number,
  subject: string,
  length: number,
  offset: number,
  writable: boolean,
  at: Address = 0,
): Address {
  const flags = at === 0 ? MAP_SHARED : MAP_SHARED | MAP_FIXED
  const got = native().mmap(at, length, writable ? PROT_READ | PROT_WRITE : PROT_READ, flags, fd, offset)
  if (got < 0) throw new BpfError({ fn: 'mmap', errno: -got, subject })
  return got
}

/** Addresses nothing is mapped at: what is read there is 0, and a store ends the process. */
function reserve(subject: string, length: number): Address {
  const got = native().mmap(0, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
  if (got < 0) throw new BpfError({ fn: 'mmap', errno: -got, subject })
  return got
}

/**
 * Let go of a mapping. The range is replaced by empty memory, not unmapped: a typed array somebody still holds then reads
 * zeros, where it would kill the process. Costs address space only.
 */
export function retire(address: Address, length: number): void {
  const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE
  const got = native().mmap(address, length, PROT_READ | PROT_WRITE, flags, -1, 0)
  if (got < 0) throw new BpfError({ fn: 'mmap', errno: -got, reason: 'a mapping could not be released' })
}

/** Bytes of a page: 4096 on x86-64, up to 65536 on arm64. */
export function pageSize(): number {
  return native().pageSize.int()
}

/** The least that is mapped at a time where not all is mapped at once. */
const LEAST_BYTES = 1 << 20

/**
 * The values of a BPF_F_MMAPABLE array as plain memory (Linux 5.5). Element `i` starts at `i * stride`. A store of an
 * aligned 1, 2 or 4-byte word is seen whole by programs; larger values may be seen half written.
 *
 * The kernel puts every page of a mapping in place at once, and counts it as memory of this process. So a large array of which
 * little is used is mapped as far as {@link reach} was told; elements behind that must not be touched.
 */
export class MappedArray {
  /** Bytes from one element to the next: the value size rounded up to 8. */
  readonly stride: number
  readonly count: number
  private readonly subject: string
  private readonly map: Descriptor
  private readonly address: Address
  private readonly length: number
  private mapped = 0
  private view: Buffer | undefined
  private words: Uint32Array | undefined

  private constructor(map: Descriptor, stride: number, count: number) {
    const page = pageSize()
    this.subject = map.subject
    this.map = map
    this.stride = stride
    this.count = count
    this.length = Math.ceil((stride * count) / page) * page
    this.address = reserve(map.subject, this.length)
    this.view = native().view(this.address, stride * count)
    this.words = new Uint32Array(this.view.buffer, this.view.byteOffset, (stride * count) / 4)
  }

  /** Map the array behind `fd`, as far as its first `reach` elements; the fd may be closed afterwards. */
  static map(fd: number, subject: string, valueSize: number, count: number, reach = count): MappedArray {
    const array = new MappedArray(new Descriptor(duplicate(fd, subject), subject), Math.ceil(valueSize / 8) * 8, count)
    try {
      array.reach(reach)
      return array
    } catch (error) {
      array.close()
      throw error
    }
  }

  /** Elements below `count` may be touched from now on. */
  reach(count: number): void {
    const wanted = Math.min(count, this.count) * this.stride
    if (wanted <= this.mapped) return
    // Each piece is a mapping of its own; doubling keeps them few.
    const piece = Math.max(wanted - this.mapped, this.mapped, LEAST_BYTES)
    const end = Math.min(this.mapped + Math.ceil(piece / LEAST_BYTES) * LEAST_BYTES, this.length)
    mapShared(this.map.fd, this.subject, end - this.mapped, this.mapped, true, this.address + this.mapped)
    this.mapped = end
    if (end === this.length) this.map.close()
  }

  /** The whole value area. Live memory: what is written is in the map at once. Throws BPF_CLOSED after {@link close}. */
  get bytes(): Buffer {
    return this.view ?? this.gone()
  }

  /** The same memory as 32-bit words: element `i` of a u32 array is `u32[i * stride / 4]`. */
  get u32(): Uint32Array {
    return this.words ?? this.gone()
  }

  /** The bytes of one element. Throws BPF_ARGUMENT beyond the end. */
  at(index: number): Buffer {
    if (!Number.isInteger(index) || index < 0 || index >= this.count) {
      throw new BpfError({
        fn: 'MappedArray',
        code: 'BPF_ARGUMENT',
        subject: this.subject,
        reason: `index ${index} of ${this.count}`,
      })
    }
    return this.bytes.subarray(index * this.stride, (index + 1) * this.stride)
  }

  /** Release the mapping. Doing it twice is fine. Views taken before read zeros from now on. */
  close(): void {
    if (this.view === undefined) return
    this.view = undefined
    this.words = undefined
    this.map.close()
    retire(this.address, this.length)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  private gone(): never {
    throw new BpfError({ fn: 'MappedArray', code: 'BPF_CLOSED', subject: this.subject, reason: 'already closed' })
  }
}

/** Kept while more of the array may be mapped. */
class Descriptor extends FdOwner {
  constructor(fd: number, subject: string) {
    super(fd, subject)
  }
}
