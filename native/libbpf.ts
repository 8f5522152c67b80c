/** Every foreign function of weft, by its C symbol; how they are called is in foreign.ts. */
import { BpfError } from './errors.ts'
import { type Address, bufferAt, Call, type CType, DynamicLinker, Mem } from './foreign.ts'

const P = 'pointer'

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

function resolve(dl: DynamicLinker, library: Address, symbol: string): Buffer {
  const address = dl.dlsym.pointer(library, Mem.string(symbol).address)
  // All that is done with it is to call what stands there.
  if (address > 0) return bufferAt(address, 1)
  const reason = 'the installed libbpf has no such function'
  throw new BpfError({ fn: symbol, code: 'BPF_NO_LIBBPF', reason, hint: 'install libbpf 1.1 or later' })
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
