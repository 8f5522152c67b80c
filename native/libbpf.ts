/**
 * Every foreign function of weft, and nothing else: another binding is a change of this file alone.
 *
 * All calls are *prepared*: call interface, argument slots and result are made once and stay referenced by the call
 * object, so a call costs about 2 µs and allocates nothing. A slot that is collected makes the call run with garbage, and
 * an ordinary ffi-napi call leaks until the event loop turns; both are the reason for the class below.
 *
 * Everything that crosses is a number: ints, sizes, and addresses (user-space addresses fit in 47 bits). Memory handed to
 * C is a {@link Mem}, whose address never moves. Nothing here ever lets C call back into JavaScript.
 */
import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import { BpfError } from './errors.ts'

/** A C address. 0 is NULL. */
export type Address = number

type CType = 'void' | 'int' | 'uint32' | 'uint64' | 'size_t' | 'pointer'

type Ref = {
  address(buffer: Buffer): number
  _writePointer(buffer: Buffer, offset: number, target: Buffer): void
  readPointer(buffer: Buffer, offset: number, length: number): Buffer
}
type Library = { get(symbol: string): Buffer }
type Ffi = {
  CIF(result: CType, args: readonly CType[]): Buffer
  DynamicLibrary: new (path: string | null, mode: number) => Library
}
type FfiCall = (cif: Buffer, fn: Buffer, result: Buffer, args: Buffer) => void

type Foreign = { ref: Ref; ffi: Ffi; ffiCall: FfiCall }

const RTLD_NOW = 2
const MAX_ARGS = 7

/**
 * Small memory stays referenced while the next RECENT pieces are made: only its address goes into a call, so the collector
 * would otherwise be free to take it between the last use of the object and the call.
 */
const RECENT = 64
const RECENT_BYTES = 64 << 10
const recent: Mem[] = []
let recentAt = 0

/**
 * Zeroed memory for C. Its storage is outside the JS heap and never moves. Pieces above 64 KiB, and all that C uses after
 * the call returns, must be kept referenced by their user.
 */
export class Mem {
  readonly bytes: Buffer
  readonly address: Address

  constructor(size: number) {
    this.bytes = Buffer.from(new ArrayBuffer(Math.max(size, 8)), 0, size)
    this.address = foreign().ref.address(this.bytes)
    if (size <= RECENT_BYTES) recent[recentAt++ % RECENT] = this
  }

  /** A NUL-terminated UTF-8 string. */
  static string(text: string): Mem {
    const encoded = Buffer.from(text, 'utf8')
    const mem = new Mem(encoded.length + 1)
    encoded.copy(mem.bytes)
    return mem
  }
}

/** One C function with its argument slots. Missing arguments are 0. */
class Call {
  private readonly cif: Buffer
  private readonly fn: Buffer
  private readonly ffiCall: FfiCall
  private readonly list: Buffer
  private readonly slots: Buffer
  private readonly slotBuffers: Buffer[] = []
  private readonly result: Buffer
  private readonly words: Int32Array
  private readonly out: Int32Array

  constructor(library: Library, symbol: string, result: CType, args: readonly CType[]) {
    const { ref, ffi, ffiCall } = foreign()
    this.ffiCall = ffiCall
    this.cif = ffi.CIF(result, args)
    this.fn = library.get(symbol)
    const slotMemory = new ArrayBuffer(8 * MAX_ARGS)
    this.slots = Buffer.from(slotMemory)
    this.words = new Int32Array(slotMemory)
    const resultMemory = new ArrayBuffer(16)
    this.result = Buffer.from(resultMemory)
    this.out = new Int32Array(resultMemory)
    this.list = Buffer.from(new ArrayBuffer(8 * MAX_ARGS))
    for (let i = 0; i < args.length; i++) {
      const slot = this.slots.subarray(8 * i, 8 * i + 8)
      this.slotBuffers.push(slot)
      ref._writePointer(this.list, 8 * i, slot)
    }
  }

  /** Call, and read the result as a C int. */
  int(a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0): number {
    this.invoke(a, b, c, d, e, f, g)
    return this.out[0] ?? 0
  }

  /** Call, and read the result as an address or size_t. */
  pointer(a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0): Address {
    this.invoke(a, b, c, d, e, f, g)
    // A set top bit gives a negative number: no valid address, and how mmap's MAP_FAILED is recognised.
    return ((this.out[0] ?? 0) >>> 0) + (this.out[1] ?? 0) * 0x1_0000_0000
  }

  private invoke(a: number, b: number, c: number, d: number, e: number, f: number, g: number): void {
    const w = this.words
    // `| 0` keeps the low 32 bits of a double exactly, negative ones included; floor gives the sign-extended high word.
    w[0] = a | 0
    w[1] = Math.floor(a / 0x1_0000_0000)
    w[2] = b | 0
    w[3] = Math.floor(b / 0x1_0000_0000)
    w[4] = c | 0
    w[5] = Math.floor(c / 0x1_0000_0000)
    w[6] = d | 0
    w[7] = Math.floor(d / 0x1_0000_0000)
    w[8] = e | 0
    w[9] = Math.floor(e / 0x1_0000_0000)
    w[10] = f | 0
    w[11] = Math.floor(f / 0x1_0000_0000)
    w[12] = g | 0
    w[13] = Math.floor(g / 0x1_0000_0000)
    this.ffiCall(this.cif, this.fn, this.result, this.list)
  }
}

let loadedForeign: Foreign | undefined

function foreign(): Foreign {
  if (loadedForeign !== undefined) return loadedForeign
  if (endianness() !== 'LE') {
    throw new BpfError({ fn: 'ffi-napi', code: 'BPF_NO_LIBBPF', reason: 'only little-endian machines are supported' })
  }
  const require = createRequire(import.meta.url)
  try {
    // ref-napi first: ffi-napi asks for its instance while loading.
    const ref = require('ref-napi') as Ref
    const ffi = require('ffi-napi') as Ffi
    const { ffi_call: ffiCall } = require('ffi-napi/lib/bindings') as { ffi_call: FfiCall }
    loadedForeign = { ref, ffi, ffiCall }
    return loadedForeign
  } catch (cause) {
    throw new BpfError({
      fn: 'ffi-napi',
      code: 'BPF_NO_LIBBPF',
      reason: 'the foreign function package does not load',
      hint: 'run `npm ci` on linux x64 or arm64 with glibc',
      cause,
    })
  }
}

function open(name: string | null): Library {
  const { ffi } = foreign()
  try {
    return new ffi.DynamicLibrary(name, RTLD_NOW)
  } catch (cause) {
    throw new BpfError({
      fn: 'dlopen',
      code: 'BPF_NO_LIBBPF',
      subject: name ?? 'libc',
      reason: cause instanceof Error ? cause.message.replace('Dynamic Linking Error: ', '') : 'does not load',
      hint: 'apt-get install libbpf1',
      cause,
    })
  }
}

const P = 'pointer'

/** The functions of libbpf (1.1 and later) and libc that weft calls. Names and meaning as in bpf/bpf.h, bpf/libbpf.h, libc. */
class Native {
  private readonly bpf: Library
  private readonly c: Library
  private readonly errnoLocation: Call
  private readonly errnoMem = new Mem(8)

  readonly setPrint: Call
  readonly majorVersion: Call
  readonly minorVersion: Call

  readonly mapCreate: Call
  readonly mapLookup: Call
  readonly mapUpdate: Call
  readonly mapDelete: Call
  readonly mapNextKey: Call
  readonly mapUpdateBatch: Call
  readonly mapLookupBatch: Call
  readonly mapDeleteBatch: Call
  readonly mapFreeze: Call
  readonly mapFdById: Call
  readonly progFdById: Call
  readonly possibleCpus: Call

  readonly objPin: Call
  readonly objGet: Call
  readonly objInfo: Call

  readonly linkCreate: Call
  readonly linkUpdate: Call
  readonly linkDetach: Call
  readonly progQuery: Call
  readonly progTestRun: Call

  readonly tcHookCreate: Call
  readonly tcHookDestroy: Call
  readonly tcAttach: Call
  readonly tcDetach: Call
  readonly tcQuery: Call

  readonly objectOpen: Call
  readonly objectLoad: Call
  readonly objectClose: Call
  readonly objectNextMap: Call
  readonly objectNextProgram: Call
  readonly omapName: Call
  readonly omapType: Call
  readonly omapKeySize: Call
  readonly omapValueSize: Call
  readonly omapMaxEntries: Call
  readonly omapSetMaxEntries: Call
  readonly omapFlags: Call
  readonly omapFd: Call
  readonly omapReuseFd: Call
  readonly omapInitialValue: Call
  readonly omapPinPath: Call
  readonly omapSetPinPath: Call
  readonly omapIsInternal: Call
  readonly programName: Call
  readonly programSection: Call
  readonly programFd: Call
  readonly programType: Call
  readonly programAttachType: Call
  readonly programSetAutoload: Call
  readonly programSetLogBuf: Call

  readonly mmapCall: Call
  readonly munmap: Call
  readonly memcpy: Call
  readonly strlen: Call
  readonly ifNameToIndex: Call
  readonly ifIndexToName: Call
  readonly setns: Call
  readonly unshare: Call
  readonly fcntl: Call
  readonly pageSize: Call

  constructor() {
    this.bpf = open('libbpf.so.1')
    this.c = open(null)
    const f = (symbol: string, result: CType, ...args: CType[]): Call => new Call(this.bpf, symbol, result, args)
    const libc = (symbol: string, result: CType, ...args: CType[]): Call => new Call(this.c, symbol, result, args)

    this.setPrint = f('libbpf_set_print', P, P)
    this.majorVersion = f('libbpf_major_version', 'uint32')
    this.minorVersion = f('libbpf_minor_version', 'uint32')

    this.mapCreate = f('bpf_map_create', 'int', 'int', P, 'uint32', 'uint32', 'uint32', P)
    this.mapLookup = f('bpf_map_lookup_elem', 'int', 'int', P, P)
    this.mapUpdate = f('bpf_map_update_elem', 'int', 'int', P, P, 'uint64')
    this.mapDelete = f('bpf_map_delete_elem', 'int', 'int', P)
    this.mapNextKey = f('bpf_map_get_next_key', 'int', 'int', P, P)
    this.mapUpdateBatch = f('bpf_map_update_batch', 'int', 'int', P, P, P, P)
    this.mapLookupBatch = f('bpf_map_lookup_batch', 'int', 'int', P, P, P, P, P, P)
    this.mapDeleteBatch = f('bpf_map_delete_batch', 'int', 'int', P, P, P)
    this.mapFreeze = f('bpf_map_freeze', 'int', 'int')
    this.mapFdById = f('bpf_map_get_fd_by_id', 'int', 'uint32')
    this.progFdById = f('bpf_prog_get_fd_by_id', 'int', 'uint32')
    this.possibleCpus = f('libbpf_num_possible_cpus', 'int')

    this.objPin = f('bpf_obj_pin', 'int', 'int', P)
    this.objGet = f('bpf_obj_get', 'int', P)
    this.objInfo = f('bpf_obj_get_info_by_fd', 'int', 'int', P, P)

    this.linkCreate = f('bpf_link_create', 'int', 'int', 'int', 'int', P)
    this.linkUpdate = f('bpf_link_update', 'int', 'int', 'int', P)
    this.linkDetach = f('bpf_link_detach', 'int', 'int')
    this.progQuery = f('bpf_prog_query_opts', 'int', 'int', 'int', P)
    this.progTestRun = f('bpf_prog_test_run_opts', 'int', 'int', P)

    this.tcHookCreate = f('bpf_tc_hook_create', 'int', P)
    this.tcHookDestroy = f('bpf_tc_hook_destroy', 'int', P)
    this.tcAttach = f('bpf_tc_attach', 'int', P, P)
    this.tcDetach = f('bpf_tc_detach', 'int', P, P)
    this.tcQuery = f('bpf_tc_query', 'int', P, P)

    this.objectOpen = f('bpf_object__open_file', P, P, P)
    this.objectLoad = f('bpf_object__load', 'int', P)
    this.objectClose = f('bpf_object__close', 'void', P)
    this.objectNextMap = f('bpf_object__next_map', P, P, P)
    this.objectNextProgram = f('bpf_object__next_program', P, P, P)
    this.omapName = f('bpf_map__name', P, P)
    this.omapType = f('bpf_map__type', 'int', P)
    this.omapKeySize = f('bpf_map__key_size', 'uint32', P)
    this.omapValueSize = f('bpf_map__value_size', 'uint32', P)
    this.omapMaxEntries = f('bpf_map__max_entries', 'uint32', P)
    this.omapSetMaxEntries = f('bpf_map__set_max_entries', 'int', P, 'uint32')
    this.omapFlags = f('bpf_map__map_flags', 'uint32', P)
    this.omapFd = f('bpf_map__fd', 'int', P)
    this.omapReuseFd = f('bpf_map__reuse_fd', 'int', P, 'int')
    this.omapInitialValue = f('bpf_map__initial_value', P, P, P)
    this.omapPinPath = f('bpf_map__pin_path', P, P)
    this.omapSetPinPath = f('bpf_map__set_pin_path', 'int', P, P)
    this.omapIsInternal = f('bpf_map__is_internal', 'int', P)
    this.programName = f('bpf_program__name', P, P)
    this.programSection = f('bpf_program__section_name', P, P)
    this.programFd = f('bpf_program__fd', 'int', P)
    this.programType = f('bpf_program__type', 'int', P)
    this.programAttachType = f('bpf_program__expected_attach_type', 'int', P)
    this.programSetAutoload = f('bpf_program__set_autoload', 'int', P, 'int')
    this.programSetLogBuf = f('bpf_program__set_log_buf', 'int', P, P, 'size_t')

    this.errnoLocation = libc('__errno_location', P)
    this.mmapCall = libc('mmap', P, P, 'size_t', 'int', 'int', 'int', 'uint64')
    this.munmap = libc('munmap', 'int', P, 'size_t')
    this.memcpy = libc('memcpy', P, P, P, 'size_t')
    this.strlen = libc('strlen', 'size_t', P)
    this.ifNameToIndex = libc('if_nametoindex', 'uint32', P)
    this.ifIndexToName = libc('if_indextoname', P, 'uint32', P)
    this.setns = libc('setns', 'int', 'int', 'int')
    this.unshare = libc('unshare', 'int', 'int')
    this.pageSize = libc('getpagesize', 'int')
    this.fcntl = libc('fcntl', 'int', 'int', 'int', 'int')

    // libbpf writes to stderr by default; this folder reports through BpfError alone.
    if (process.env['WEFT_LIBBPF_DEBUG'] === undefined) this.setPrint.pointer(0)
  }

  /** errno of this thread. Right only directly after the call that failed, before any other native call. */
  errno(): number {
    // memcpy and __errno_location leave errno alone.
    this.memcpy.pointer(this.errnoMem.address, this.errnoLocation.pointer(), 4)
    return this.errnoMem.bytes.readInt32LE(0)
  }

  /** The NUL-terminated string at an address; '' for NULL. */
  readString(address: Address): string {
    return address === 0 ? '' : this.readBytes(address, this.strlen.pointer(address)).toString('utf8')
  }

  /** A copy of `length` bytes at an address. */
  readBytes(address: Address, length: number): Buffer {
    const copy = new Mem(length)
    this.memcpy.pointer(copy.address, address, length)
    return copy.bytes
  }

  /** Write bytes to an address that C owns. */
  writeBytes(address: Address, data: Uint8Array): void {
    const copy = new Mem(data.length)
    copy.bytes.set(data)
    this.memcpy.pointer(address, copy.address, data.length)
  }

  /** mmap(2); returns the address, or the negative errno. */
  mmap(address: Address, length: number, protection: number, flags: number, fd: number, offset: number): number {
    const got = this.mmapCall.pointer(address, length, protection, flags, fd, offset)
    return got < 0 ? -this.errno() : got
  }

  /** A Buffer over memory that C owns; the caller must keep that memory mapped for as long as anybody can reach the Buffer. */
  view(address: Address, length: number): Buffer {
    const pointer = Buffer.alloc(8)
    pointer.writeBigUInt64LE(BigInt(address))
    return foreign().ref.readPointer(pointer, 0, length)
  }
}

export type { Call, Native }

let loaded: Native | undefined

/** The bound library, loaded at the first call. Throws BPF_NO_LIBBPF when libbpf.so.1 is not installed. */
export function native(): Native {
  loaded ??= new Native()
  return loaded
}
