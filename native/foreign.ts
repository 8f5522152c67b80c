/**
 * Calls of C functions from JavaScript by ffi-napi, and the memory that goes with them: another binding is a change of this file
 * alone.
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

/** As ffi-napi calls them. */
export type CType = 'void' | 'int' | 'uint32' | 'uint64' | 'size_t' | 'pointer'

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
export class Call {
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
export function bufferAt(address: Address, length: number): Buffer {
  let near = windows.find(({ base }) => address >= base && address + length <= base + WINDOW)
  if (near === undefined) {
    // On a page, so that words of mapped memory are aligned in the window too. Never the first page, which is nobody's: where
    // the kernel puts the heap of a program at a fixed place is random, and can be low.
    const base = Math.max(PAGE, Math.floor((address - Math.max(0, WINDOW - length) / 2) / PAGE) * PAGE)
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
export class DynamicLinker {
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
