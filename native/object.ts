import { readFileSync } from 'node:fs'
import { type Btf, parseBtf } from './btf.ts'
import { BpfError, Errno, logTail } from './errors.ts'
import { cString, duplicate } from './fd.ts'
import { checkLayout, type MapLayout } from './layout.ts'
import { type Address, Mem } from './foreign.ts'
import { native } from './libbpf.ts'
import { BpfMap } from './map.ts'
import { BpfProgram } from './program.ts'
import { encodeRodata, type RodataValue } from './rodata.ts'

const OPEN_OPTS_SIZE = 80
/** Too small a buffer turns a verifier's refusal into ENOSPC. */
const LOG_BYTES = 1 << 20

/** How to open an object. */
export type OpenOptions = {
  /** Name of the object in the kernel; default the file's. */
  name?: string
  /** Values of `.rodata` variables by name, frozen at load. */
  rodata?: Readonly<Record<string, RodataValue>>
  /** Size of maps, by name, in place of what the object says. */
  maxEntries?: Readonly<Record<string, number>>
  /** bpffs directory (must exist) where maps that declare LIBBPF_PIN_BY_NAME are pinned, or found and reused. Without it they are not pinned. */
  pinRoot?: string
  /** Pin path per map name, whatever the object declares. */
  pins?: Readonly<Record<string, string>>
  /** Use these maps instead of making new ones. They stay the caller's: close them when you like after load. */
  reuseMaps?: Readonly<Record<string, BpfMap>>
  /** Programs not to load, by name. */
  skipPrograms?: readonly string[]
}

type MapHandle = { address: Address; pin: string | undefined; reused: boolean }

/**
 * A BPF object file: opened, configured, loaded. Owns everything libbpf holds for it; maps and programs handed out have
 * fds of their own and outlive {@link close}.
 */
export class BpfObject {
  /** The file it was read from. */
  readonly path: string
  /** Type information of the file. */
  readonly btf: Btf
  private handle: Address
  private readonly maps = new Map<string, MapHandle>()
  private readonly programs = new Map<string, Address>()
  private readonly logs = new Map<string, Mem>()
  private readonly log: Mem
  private readonly openedMaps = new Map<string, BpfMap>()
  private readonly openedPrograms = new Map<string, BpfProgram>()
  private loaded = false

  private constructor(path: string, btf: Btf, handle: Address, log: Mem) {
    this.path = path
    this.btf = btf
    this.handle = handle
    this.log = log
  }

  /**
   * Read the file and apply the options; nothing is in the kernel yet. Errors: BPF_FORMAT (not a BPF object), BPF_NOT_FOUND
   * (unknown variable, map, program), BPF_ARGUMENT (value does not fit), BPF_LAYOUT (an existing map differs).
   */
  static open(path: string, options: OpenOptions = {}): BpfObject {
    const btf = parseBtf(readObject(path), path)
    const log = new Mem(LOG_BYTES)
    const file = Mem.string(path)
    const opts = new Mem(OPEN_OPTS_SIZE)
    opts.bytes.writeBigUInt64LE(BigInt(OPEN_OPTS_SIZE), 0)
    const name = options.name === undefined ? undefined : Mem.string(options.name)
    const root = options.pinRoot === undefined ? undefined : Mem.string(options.pinRoot)
    opts.bytes.writeBigUInt64LE(BigInt(name?.address ?? 0), 8)
    opts.bytes.writeBigUInt64LE(BigInt(root?.address ?? 0), 24)
    opts.bytes.writeBigUInt64LE(BigInt(log.address), 56)
    opts.bytes.writeBigUInt64LE(BigInt(LOG_BYTES), 64)
    const handle = native().objectOpen.pointer(file.address, opts.address)
    if (handle === 0) throw new BpfError({ fn: 'bpf_object__open_file', errno: native().errno(), subject: path })
    const object = new BpfObject(path, btf, handle, log)
    try {
      object.collect()
      object.configure(options)
      return object
    } catch (error) {
      object.close()
      throw error
    }
  }

  /** Names of all maps, `.rodata` and its like included. */
  get mapNames(): string[] {
    return [...this.maps.keys()]
  }

  /** Names of all programs, skipped ones included. */
  get programNames(): string[] {
    return [...this.programs.keys()]
  }

  /** Create maps and load programs; pin what is to be pinned. A refused program gives its name and the verifier's last lines. */
  load(): this {
    return this.outcome(native().objectLoad.int(this.live()))
  }

  /** As {@link load}, while this thread goes on. Until then nothing else is to be asked of the object. */
  async loadAside(): Promise<this> {
    return this.outcome(await native().objectLoad.intAside(this.live()))
  }

  private outcome(rc: number): this {
    if (rc < 0) throw this.loadError(-rc)
    this.loaded = true
    this.logs.clear()
    for (const [name, map] of this.maps) if (map.pin !== undefined && !map.reused) this.map(name).pin(map.pin)
    return this
  }

  /** A map of the loaded object, by its C name. Owned by the object's user: it is not closed by {@link close}. Repeated calls give the same one. */
  map(name: string): BpfMap {
    const handle = this.maps.get(name) ?? this.unknown('map', name, this.mapNames)
    const known = this.openedMaps.get(name)
    if (known !== undefined && !known.closed) return known
    const fd = this.fdOf('bpf_map__fd', name, native().omapFd.int(handle.address))
    const map = BpfMap.fromFd(duplicate(fd, name), name)
    this.openedMaps.set(name, map)
    return map
  }

  /** A program of the loaded object, by its C function name. Ownership as for {@link map}. */
  program(name: string): BpfProgram {
    const address = this.programs.get(name) ?? this.unknown('program', name, this.programNames)
    const known = this.openedPrograms.get(name)
    if (known !== undefined && !known.closed) return known
    const n = native()
    const fd = this.fdOf('bpf_program__fd', name, n.programFd.int(address))
    const section = n.readString(n.programSection.pointer(address))
    const program = BpfProgram.fromFd(duplicate(fd, name), name, n.programAttachType.int(address), section)
    this.openedPrograms.set(name, program)
    return program
  }

  /** Give back libbpf's memory and fds. Doing it twice is fine. Maps and programs handed out stay open. */
  close(): void {
    if (this.handle === 0) return
    native().objectClose.int(this.handle)
    this.handle = 0
  }

  [Symbol.dispose](): void {
    this.close()
  }

  private live(): Address {
    if (this.handle === 0)
      throw new BpfError({ fn: 'BpfObject', code: 'BPF_CLOSED', subject: this.path, reason: 'already closed' })
    return this.handle
  }

  private collect(): void {
    const n = native()
    for (let m = n.objectNextMap.pointer(this.handle, 0); m !== 0; m = n.objectNextMap.pointer(this.handle, m)) {
      this.maps.set(n.readString(n.omapName.pointer(m)), { address: m, pin: undefined, reused: false })
    }
    for (
      let p = n.objectNextProgram.pointer(this.handle, 0);
      p !== 0;
      p = n.objectNextProgram.pointer(this.handle, p)
    ) {
      this.programs.set(n.readString(n.programName.pointer(p)), p)
    }
  }

  private configure(options: OpenOptions): void {
    const n = native()
    for (const name of options.skipPrograms ?? []) {
      n.programSetAutoload.int(this.programs.get(name) ?? this.unknown('program', name, this.programNames), 0)
    }
    for (const [name, address] of this.programs) {
      if (options.skipPrograms?.includes(name) === true) continue
      const log = new Mem(LOG_BYTES)
      n.programSetLogBuf.int(address, log.address, LOG_BYTES)
      this.logs.set(name, log)
    }
    this.writeRodata(options.rodata ?? {})
    for (const [name, size] of Object.entries(options.maxEntries ?? {})) {
      const handle = this.maps.get(name) ?? this.unknown('map', name, this.mapNames)
      const rc = n.omapSetMaxEntries.int(handle.address, size)
      if (rc < 0) throw new BpfError({ fn: 'bpf_map__set_max_entries', errno: -rc, subject: name })
    }
    for (const [name, map] of Object.entries(options.reuseMaps ?? {})) this.reuse(name, map, 'given for reuse')
    this.choosePins(options.pins ?? {}, options.pinRoot !== undefined)
  }

  private writeRodata(values: Readonly<Record<string, RodataValue>>): void {
    if (Object.keys(values).length === 0) return
    const n = native()
    const variables = this.btf.variables('.rodata')
    const section = [...this.maps].find(([name]) => name.endsWith('.rodata'))
    const size = new Mem(8)
    const base = section === undefined ? 0 : n.omapInitialValue.pointer(section[1].address, size.address)
    const room = Number(size.bytes.readBigUInt64LE())
    for (const [name, value] of Object.entries(values)) {
      const variable = variables.get(name) ?? this.unknown('.rodata variable', name, [...variables.keys()])
      const bytes = encodeRodata(variable, value)
      if (base === 0 || variable.offset + bytes.length > room) throw this.damaged(`.rodata has ${room} bytes`)
      n.writeBytes(base + variable.offset, bytes)
    }
  }

  /** Pins are this class's business alone, so that a wrong layout is named field by field: libbpf only says EINVAL. */
  private choosePins(pins: Readonly<Record<string, string>>, byName: boolean): void {
    const n = native()
    for (const name of Object.keys(pins)) if (!this.maps.has(name)) this.unknown('map', name, this.mapNames)
    for (const [name, handle] of this.maps) {
      const declared = n.readString(n.omapPinPath.pointer(handle.address))
      const path = pins[name] ?? (byName && declared !== '' ? declared : undefined)
      if (declared !== '') n.omapSetPinPath.int(handle.address, 0)
      if (path === undefined || handle.reused) continue
      handle.pin = path
      const existing = openExisting(path)
      if (existing === undefined) continue
      try {
        this.reuse(name, existing, `pinned at ${path}`)
      } finally {
        existing.close()
      }
    }
  }

  private reuse(name: string, map: BpfMap, where: string): void {
    const n = native()
    const handle = this.maps.get(name) ?? this.unknown('map', name, this.mapNames)
    const wanted: MapLayout = {
      type: n.omapType.int(handle.address),
      keySize: n.omapKeySize.int(handle.address),
      valueSize: n.omapValueSize.int(handle.address),
      maxEntries: n.omapMaxEntries.int(handle.address),
      flags: n.omapFlags.int(handle.address),
    }
    checkLayout(name, where, map.info(), wanted)
    const rc = n.omapReuseFd.int(handle.address, map.fd)
    if (rc < 0) throw new BpfError({ fn: 'bpf_map__reuse_fd', errno: -rc, subject: name })
    handle.reused = true
  }

  private fdOf(fn: string, name: string, fd: number): number {
    this.live()
    if (!this.loaded || fd < 0) {
      throw new BpfError({ fn, code: 'BPF_CLOSED', subject: name, reason: 'not loaded', hint: 'call load() first' })
    }
    return fd
  }

  private loadError(errno: number): BpfError {
    for (const [name, mem] of this.logs) {
      const log = logTail(cString(mem.bytes, 0, LOG_BYTES))
      if (log !== undefined) {
        return new BpfError({
          fn: 'bpf_object__load',
          errno,
          subject: name,
          reason: 'program refused by the kernel',
          verifierLog: log,
        })
      }
    }
    const log = logTail(cString(this.log.bytes, 0, LOG_BYTES))
    return new BpfError({
      fn: 'bpf_object__load',
      errno,
      subject: this.path,
      ...(log === undefined ? {} : { verifierLog: log }),
    })
  }

  private damaged(reason: string): BpfError {
    return new BpfError({
      fn: 'BpfObject',
      code: 'BPF_FORMAT',
      subject: this.path,
      reason,
      hint: 'build the object again',
    })
  }

  private unknown(kind: string, name: string, known: readonly string[]): never {
    throw new BpfError({
      fn: 'BpfObject',
      code: 'BPF_NOT_FOUND',
      subject: name,
      reason: `no such ${kind} in ${this.path}; it has ${known.length === 0 ? 'none' : known.join(', ')}`,
    })
  }
}

function readObject(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new BpfError({ fn: 'read', errno: Errno.ENOENT, subject: path, hint: 'build the objects: make bpf', cause })
  }
}

function openExisting(path: string): BpfMap | undefined {
  try {
    return BpfMap.openPinned(path)
  } catch (error) {
    if (error instanceof BpfError && error.errno === Errno.ENOENT) return undefined
    throw error
  }
}
