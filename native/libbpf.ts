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
type Ffi = { CIF(result: CType, args: readonly CType[]): Buffer }
type FfiCall = (cif: Buffer, fn: Buffer, result: Buffer, args: Buffer) => void
/** On a thread of libuv's. */
type FfiCallAside = (...args: [...Parameters<FfiCall>, done: (error: string | null) => void]) => void
/** Functions of the dynamic linker, found by the package itself. */
type Linker = Readonly<Record<'dlopen' | 'dlsym' | 'dlerror', Buffer>>

type Foreign = { ref: Ref; ffi: Ffi; ffiCall: FfiCall; ffiCallAside: FfiCallAside; linker: Linker }

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

/** What a call needs, all of it referenced for as long as the call is. */
type Prepared = { ffiCall: FfiCall; cif: Buffer; fn: Buffer; list: Buffer; slots: readonly Buffer[]; result: Buffer }

/** One C function with its argument slots, bound at its first use: binding costs a millisecond, which short commands notice. */
class Call {
  private readonly find: () => Buffer
  private readonly resultType: CType
  private readonly args: readonly CType[]
  private readonly words = new Int32Array(new ArrayBuffer(8 * MAX_ARGS))
  private readonly out = new Int32Array(new ArrayBuffer(16))
  private prepared: Prepared | undefined

  constructor(find: () => Buffer, resultType: CType, args: readonly CType[]) {
    this.find = find
    this.resultType = resultType
    this.args = args
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

  /**
   * As `int`, on another thread, while this one goes on. errno stays there, so this is for functions that return their error;
   * memory that an argument points to is to be kept referenced until then.
   */
  intAside(...args: readonly number[]): Promise<number> {
    // Arguments and result have memory of their own: this call may be made again meanwhile.
    const once = new Call(this.find, this.resultType, this.args)
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0] = args
    const p = once.fill(a, b, c, d, e, f, g)
    return new Promise((resolve, reject) => {
      foreign().ffiCallAside(p.cif, p.fn, p.result, p.list, (error) => {
        if (error === null) resolve(once.out[0] ?? 0)
        else reject(new BpfError({ fn: 'ffi_call_async', code: 'BPF_ARGUMENT', reason: error }))
      })
    })
  }

  private invoke(a: number, b: number, c: number, d: number, e: number, f: number, g: number): void {
    const p = this.fill(a, b, c, d, e, f, g)
    p.ffiCall(p.cif, p.fn, p.result, p.list)
  }

  private fill(a: number, b: number, c: number, d: number, e: number, f: number, g: number): Prepared {
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
    return (this.prepared ??= this.prepare())
  }

  private prepare(): Prepared {
    const { ref, ffi, ffiCall } = foreign()
    const list = Buffer.from(new ArrayBuffer(8 * MAX_ARGS))
    const slots = this.args.map((_, i) => Buffer.from(this.words.buffer, 8 * i, 8))
    slots.forEach((slot, i) => ref._writePointer(list, 8 * i, slot))
    return {
      ffiCall,
      cif: ffi.CIF(this.resultType, this.args),
      fn: this.find(),
      list,
      slots,
      result: Buffer.from(this.out.buffer),
    }
  }
}

/** As much memory as ref-napi declares for every pointer that it makes a Buffer of, however short that is. */
const WINDOW = 0x3fffffff
const PAGE = 0x10000
const windows: { readonly base: Address; readonly memory: Buffer }[] = []

/**
 * Memory that C owns as a Buffer. V8 collects garbage for each GiB that it is told of, so one pointer stands for all that is
 * near it: nearly everything that was mapped.
 */
function bufferAt(address: Address, length: number): Buffer {
  let near = windows.find(({ base }) => address >= base && address + length <= base + WINDOW)
  if (near === undefined) {
    // On a page, so that words of mapped memory are aligned in the window too.
    const base = Math.floor((address - Math.max(0, WINDOW - length) / 2) / PAGE) * PAGE
    near = { base, memory: foreign().ref.readPointer(pointerTo(base), 0, Math.max(WINDOW, length)) }
    windows.push(near)
  }
  return Buffer.from(near.memory.buffer, near.memory.byteOffset + address - near.base, length)
}

function pointerTo(address: Address): Buffer {
  const pointer = Buffer.alloc(8)
  pointer.writeBigUInt64LE(BigInt(address))
  return pointer
}

function resolve(dl: DynamicLinker, library: Address, symbol: string): Buffer {
  const address = dl.dlsym.pointer(library, Mem.string(symbol).address)
  // All that is done with it is to call what stands there.
  if (address > 0) return bufferAt(address, 1)
  const reason = 'the installed libbpf has no such function'
  throw new BpfError({ fn: symbol, code: 'BPF_NO_LIBBPF', reason, hint: 'install libbpf 1.1 or later' })
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
    const bindings = require('ffi-napi/lib/bindings') as {
      ffi_call: FfiCall
      ffi_call_async: FfiCallAside
      StaticFunctions: Linker
    }
    loadedForeign = {
      ...{ ref, ffi, ffiCall: bindings.ffi_call, ffiCallAside: bindings.ffi_call_async },
      linker: bindings.StaticFunctions,
    }
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

const P = 'pointer'

/** dlopen(3) and its kin. */
class DynamicLinker {
  readonly dlsym = new Call(() => foreign().linker.dlsym, P, [P, P])
  readonly #dlopen = new Call(() => foreign().linker.dlopen, P, [P, 'int'])
  readonly #dlerror = new Call(() => foreign().linker.dlerror, P, [])

  /** The handle of a library; of everything that is loaded without a name. */
  open(name: string | null): Address {
    const handle = this.#dlopen.pointer(name === null ? 0 : Mem.string(name).address, RTLD_NOW)
    if (handle > 0) return handle
    const reason = bufferAt(this.#dlerror.pointer(), 1024)
    throw new BpfError({
      fn: 'dlopen',
      code: 'BPF_NO_LIBBPF',
      subject: name ?? 'libc',
      reason: reason.toString('utf8', 0, reason.indexOf(0)),
      hint: 'apt-get install libbpf1',
    })
  }
}

/** C symbol, result, arguments: as in bpf/bpf.h, bpf/libbpf.h and libc's headers. */
type Signature = readonly [symbol: string, result: CType, ...args: CType[]]

/** libbpf.so.1. `omap` is a map of an object that is not loaded yet. */
const BPF = {
  setPrint: ['libbpf_set_print', P, P],
  majorVersion: ['libbpf_major_version', 'uint32'],
  minorVersion: ['libbpf_minor_version', 'uint32'],
  mapCreate: ['bpf_map_create', 'int', 'int', P, 'uint32', 'uint32', 'uint32', P],
  mapLookup: ['bpf_map_lookup_elem', 'int', 'int', P, P],
  mapUpdate: ['bpf_map_update_elem', 'int', 'int', P, P, 'uint64'],
  mapDelete: ['bpf_map_delete_elem', 'int', 'int', P],
  mapNextKey: ['bpf_map_get_next_key', 'int', 'int', P, P],
  mapUpdateBatch: ['bpf_map_update_batch', 'int', 'int', P, P, P, P],
  mapLookupBatch: ['bpf_map_lookup_batch', 'int', 'int', P, P, P, P, P, P],
  mapDeleteBatch: ['bpf_map_delete_batch', 'int', 'int', P, P, P],
  mapFdById: ['bpf_map_get_fd_by_id', 'int', 'uint32'],
  progFdById: ['bpf_prog_get_fd_by_id', 'int', 'uint32'],
  possibleCpus: ['libbpf_num_possible_cpus', 'int'],
  objPin: ['bpf_obj_pin', 'int', 'int', P],
  objGet: ['bpf_obj_get', 'int', P],
  objInfo: ['bpf_obj_get_info_by_fd', 'int', 'int', P, P],
  linkCreate: ['bpf_link_create', 'int', 'int', 'int', 'int', P],
  linkUpdate: ['bpf_link_update', 'int', 'int', 'int', P],
  linkDetach: ['bpf_link_detach', 'int', 'int'],
  progQuery: ['bpf_prog_query_opts', 'int', 'int', 'int', P],
  progTestRun: ['bpf_prog_test_run_opts', 'int', 'int', P],
  tcHookCreate: ['bpf_tc_hook_create', 'int', P],
  tcHookDestroy: ['bpf_tc_hook_destroy', 'int', P],
  tcAttach: ['bpf_tc_attach', 'int', P, P],
  tcDetach: ['bpf_tc_detach', 'int', P, P],
  tcQuery: ['bpf_tc_query', 'int', P, P],
  objectOpen: ['bpf_object__open_file', P, P, P],
  objectLoad: ['bpf_object__load', 'int', P],
  objectClose: ['bpf_object__close', 'void', P],
  objectNextMap: ['bpf_object__next_map', P, P, P],
  objectNextProgram: ['bpf_object__next_program', P, P, P],
  omapName: ['bpf_map__name', P, P],
  omapType: ['bpf_map__type', 'int', P],
  omapKeySize: ['bpf_map__key_size', 'uint32', P],
  omapValueSize: ['bpf_map__value_size', 'uint32', P],
  omapMaxEntries: ['bpf_map__max_entries', 'uint32', P],
  omapSetMaxEntries: ['bpf_map__set_max_entries', 'int', P, 'uint32'],
  omapFlags: ['bpf_map__map_flags', 'uint32', P],
  omapFd: ['bpf_map__fd', 'int', P],
  omapReuseFd: ['bpf_map__reuse_fd', 'int', P, 'int'],
  omapInitialValue: ['bpf_map__initial_value', P, P, P],
  omapPinPath: ['bpf_map__pin_path', P, P],
  omapSetPinPath: ['bpf_map__set_pin_path', 'int', P, P],
  programName: ['bpf_program__name', P, P],
  programSection: ['bpf_program__section_name', P, P],
  programFd: ['bpf_program__fd', 'int', P],
  programAttachType: ['bpf_program__expected_attach_type', 'int', P],
  programSetAutoload: ['bpf_program__set_autoload', 'int', P, 'int'],
  programSetLogBuf: ['bpf_program__set_log_buf', 'int', P, P, 'size_t'],
} as const satisfies Record<string, Signature>

/** The C library. */
const LIBC = {
  errnoLocation: ['__errno_location', P],
  mmapCall: ['mmap', P, P, 'size_t', 'int', 'int', 'int', 'uint64'],
  memcpy: ['memcpy', P, P, P, 'size_t'],
  strlen: ['strlen', 'size_t', P],
  ifNameToIndex: ['if_nametoindex', 'uint32', P],
  ifIndexToName: ['if_indextoname', P, 'uint32', P],
  setns: ['setns', 'int', 'int', 'int'],
  flock: ['flock', 'int', 'int', 'int'],
  socket: ['socket', 'int', 'int', 'int', 'int'],
  getsockopt: ['getsockopt', 'int', 'int', 'int', 'int', P, P],
  setsockopt: ['setsockopt', 'int', 'int', 'int', 'int', P, 'uint32'],
  sendto: ['sendto', 'int', 'int', P, 'size_t', 'int', P, 'uint32'],
  recv: ['recv', 'int', 'int', P, 'size_t', 'int'],
  bind: ['bind', 'int', 'int', P, 'uint32'],
  unshare: ['unshare', 'int', 'int'],
  pageSize: ['getpagesize', 'int'],
  fcntl: ['fcntl', 'int', 'int', 'int', 'int'],
} as const satisfies Record<string, Signature>

type Calls = Readonly<Record<keyof typeof BPF | keyof typeof LIBC, Call>>

function bind(dl: DynamicLinker, library: string | null, table: Readonly<Record<string, Signature>>): [string, Call][] {
  const handle = dl.open(library)
  return Object.entries(table).map(([name, [symbol, result, ...args]]) => [
    name,
    new Call(() => resolve(dl, handle, symbol), result, args),
  ])
}

/** Helpers over the calls. */
class Helpers {
  private readonly calls: Calls
  private readonly errnoMem = new Mem(8)

  constructor(calls: Calls) {
    this.calls = calls
    // Bound now: binding in between would overwrite the errno that is asked for.
    this.errno()
    // libbpf writes to stderr by default; this folder reports through BpfError alone.
    if (process.env['WEFT_LIBBPF_DEBUG'] === undefined) this.calls.setPrint.pointer(0)
  }

  /** errno of this thread. Right only directly after the call that failed, before any other native call. */
  errno(): number {
    // memcpy and __errno_location leave errno alone.
    this.calls.memcpy.pointer(this.errnoMem.address, this.calls.errnoLocation.pointer(), 4)
    return this.errnoMem.bytes.readInt32LE(0)
  }

  /** The NUL-terminated string at an address; '' for NULL. */
  readString(address: Address): string {
    return address === 0 ? '' : this.readBytes(address, this.calls.strlen.pointer(address)).toString('utf8')
  }

  /** A copy of `length` bytes at an address. */
  readBytes(address: Address, length: number): Buffer {
    const copy = new Mem(length)
    this.calls.memcpy.pointer(copy.address, address, length)
    return copy.bytes
  }

  /** Write bytes to an address that C owns. */
  writeBytes(address: Address, data: Uint8Array): void {
    const copy = new Mem(data.length)
    copy.bytes.set(data)
    this.calls.memcpy.pointer(address, copy.address, data.length)
  }

  /** mmap(2); returns the address, or the negative errno. */
  mmap(address: Address, length: number, protection: number, flags: number, fd: number, offset: number): number {
    const got = this.calls.mmapCall.pointer(address, length, protection, flags, fd, offset)
    return got < 0 ? -this.errno() : got
  }

  /** A Buffer over memory that C owns; the caller must keep that memory mapped for as long as anybody can reach the Buffer. */
  view(address: Address, length: number): Buffer {
    return bufferAt(address, length)
  }
}

export type { Call }

/** The functions of libbpf (1.1 and later) and libc that weft calls, with a few helpers. */
export type Native = Calls & Helpers

let loaded: Native | undefined

/** The bound library, loaded at the first call. Throws BPF_NO_LIBBPF when libbpf.so.1 is not installed. */
export function native(): Native {
  if (loaded === undefined) {
    const dl = new DynamicLinker()
    const calls = Object.fromEntries([...bind(dl, 'libbpf.so.1', BPF), ...bind(dl, null, LIBC)]) as Calls
    loaded = Object.assign(new Helpers(calls), calls)
  }
  return loaded
}
