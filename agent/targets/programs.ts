import { readdirSync, readFileSync, rmdirSync, unlinkSync } from 'node:fs'
import path from 'node:path'
import type { BpfMap, Btf, RodataValue } from '../../native/index.ts'
import type { Attachment, Hook } from './datapath/hook.ts'
import type { PortRange, SysctlReport } from './datapath/sysctl.ts'
import {
  BpfError,
  BpfObject,
  DirectoryLock,
  makePinDirectory,
  netnsCookie,
  parseBtf,
  probeKernel,
} from '../../native/index.ts'
import { checkMachine, DatapathError, objectPath, OBJECTS } from './datapath/checks.ts'
import { attach, describeHook, detachPin, isInPlace, parsePin, pinsIn } from './datapath/hook.ts'
import { setSysctls } from './datapath/sysctl.ts'

export interface DatapathOptions {
  /** Where `make bpf` puts its objects. */
  readonly objectsDir: string
  /** A bpffs directory; pins go to `weft/maps` and `weft/links` below it. */
  readonly bpfRoot: string
  /** cgroup2 directory whose processes see services. */
  readonly cgroupRoot: string
  /** Device to other nodes and the world. */
  readonly uplink: string
  readonly nodePorts: PortRange
  /** Entries of maps by name, in place of the object's own. A pinned map of another size is refused. */
  readonly mapSizes?: Readonly<Record<string, number>>
  /** Values of `cfg_*` variables, for every object that has them. Node ports, the network namespace's cookie and kernel features are filled in. */
  readonly rodata?: Readonly<Record<string, RodataValue>>
}

export interface ProgramHandle {
  readonly name: string
  readonly attachedTo: string
  /** The kernel's id of the program. */
  readonly id: number
}

/** What is pinned under one bpffs. */
interface Places {
  readonly root: string
  readonly maps: string
  readonly links: string
}

/**
 * The eBPF side of a node: maps, programs and where they are attached.
 *
 * All of it is pinned and outlives the process, however that ends; the next one takes over maps and attachments with no
 * packet in between that meets an empty hook. Pins are made only once everything is attached.
 */
export class Datapath {
  /** By C name. */
  readonly maps: Readonly<Record<string, BpfMap>>
  readonly sysctls: readonly SysctlReport[]
  readonly #places: Places
  readonly #lock: DirectoryLock
  readonly #objects: readonly BpfObject[]
  readonly #attachments = new Map<string, Attachment>()

  private constructor(
    places: Places,
    lock: DirectoryLock,
    objects: readonly BpfObject[],
    sysctls: readonly SysctlReport[],
  ) {
    this.#places = places
    this.#lock = lock
    this.#objects = objects
    this.sysctls = sysctls
    this.maps = collectMaps(objects)
  }

  /**
   * Throws DatapathError: those of `checkMachine`, `unknown-setting`, `already-running`, `map-layout` (a pinned map differs from what this
   * version or configuration wants), `program-refused`. What was running before is then still running, unchanged.
   */
  static open(options: DatapathOptions): Datapath {
    checkMachine(options)
    checkSettings(options)
    const places = placesIn(options.bpfRoot)
    const lock = takeLock(places)
    const before = new Set(readdirSync(places.maps))
    const objects: BpfObject[] = []
    let datapath: Datapath | undefined
    try {
      for (const name of OBJECTS) objects.push(load(name, options, places))
      datapath = new Datapath(places, lock, objects, setSysctls(options.uplink, options.nodePorts))
      datapath.#attachAll(hooksOf(options))
      return datapath
    } catch (error) {
      for (const pin of readdirSync(places.maps)) if (!before.has(pin)) unlinkSync(path.join(places.maps, pin))
      if (datapath !== undefined) datapath.close()
      else for (const object of objects) object.close()
      lock.close()
      throw error
    }
  }

  /** Ends every trace of a datapath: attachments first, then maps. For `weft agent --cleanup`; an agent that runs is refused. */
  static remove(bpfRoot: string): void {
    const places = placesIn(bpfRoot)
    const lock = takeLock(places)
    try {
      for (const pin of pinsIn(places.links)) detachPin(path.join(places.links, pin))
      for (const pin of readdirSync(places.maps)) unlinkSync(path.join(places.maps, pin))
      rmdirSync(places.links)
      rmdirSync(places.maps)
    } finally {
      lock.close()
    }
  }

  get programs(): ProgramHandle[] {
    return [...this.#attachments.values()].map(({ program, hook }) => ({
      name: program.name,
      attachedTo: describeHook(hook),
      id: program.info().id,
    }))
  }

  /** Devices that run the pods' program, the node's sides of their veths. */
  podDevices(): ReadonlySet<string> {
    return new Set([...this.#podPins()].filter(([, pin]) => isInPlace(pin)).map(([device]) => device))
  }

  /** Makes exactly these devices run the pods' program. A device that is gone takes its attachment with it. */
  setPodDevices(devices: readonly string[]): void {
    const current = this.podDevices()
    const ours = (device: string): boolean =>
      current.has(device) &&
      [...this.#attachments.values()].some(({ hook }) => hook.kind === 'tc' && hook.device === device)
    const hooks = devices
      .filter((device) => !ours(device))
      .map((device): [string, Hook] => ['weft_from_pod', { kind: 'tc', device, direction: 'ingress' }])
    this.#attachAll(hooks)
    const wanted = new Set(devices)
    for (const [device, pin] of this.#podPins()) if (!wanted.has(device)) this.#forget(pin)
  }

  *#podPins(): Iterable<[device: string, pin: string]> {
    for (const pin of pinsIn(this.#places.links)) {
      const device = pin.startsWith('from_pod@') ? parsePin(pin)?.device : undefined
      if (device !== undefined) yield [device, path.join(this.#places.links, pin)]
    }
  }

  /** Calls a program that is attached to nothing with `args`; gives back what it made of them. Throws BpfError when it fails. */
  call(program: string, args: Buffer): Buffer {
    const { retval, args: result } = this.#program(program).call(args)
    if (retval !== 0) throw new BpfError({ fn: program, code: 'BPF_PROGRAM', reason: `returned ${retval}` })
    return result
  }

  /** Lets go of the handles and of the lock. Everything in the kernel keeps running. */
  close(): void {
    for (const attachment of this.#attachments.values()) attachment.close()
    this.#attachments.clear()
    for (const map of Object.values(this.maps)) map.close()
    for (const object of this.#objects) {
      for (const name of object.programNames) object.program(name).close()
      object.close()
    }
    this.#lock.close()
  }

  /** All or nothing: a hook that fails puts the earlier ones back. */
  #attachAll(hooks: readonly (readonly [program: string, hook: Hook])[]): void {
    const done: Attachment[] = []
    try {
      for (const [program, hook] of hooks) done.push(attach(this.#program(program), hook, this.#places.links))
    } catch (error) {
      for (const attachment of done.reverse()) attachment.undo()
      throw error
    }
    for (const attachment of done) {
      attachment.commit()
      this.#attachments.get(attachment.pin)?.close()
      this.#attachments.set(attachment.pin, attachment)
    }
  }

  #forget(pin: string): void {
    this.#attachments.get(pin)?.close()
    this.#attachments.delete(pin)
    detachPin(pin)
  }

  #program(name: string): ReturnType<BpfObject['program']> {
    const owner = this.#objects.find((object) => object.programNames.includes(name))
    if (owner === undefined)
      throw new DatapathError('object-missing', `no object has the program ${name}`, { hint: 'run `make bpf`' })
    return owner.program(name)
  }
}

function hooksOf(options: DatapathOptions): [string, Hook][] {
  const cgroup: Hook = { kind: 'cgroup', directory: options.cgroupRoot }
  const sockets = ['weft_connect4', 'weft_sendmsg4', 'weft_recvmsg4', 'weft_getpeername4', 'weft_release']
  return [
    ...sockets.map((program): [string, Hook] => [program, cgroup]),
    ['weft_from_netdev', { kind: 'tc', device: options.uplink, direction: 'ingress' }],
    ['weft_to_netdev', { kind: 'tc', device: options.uplink, direction: 'egress' }],
  ]
}

function placesIn(bpfRoot: string): Places {
  const root = path.join(bpfRoot, 'weft')
  const places = { root, maps: path.join(root, 'maps'), links: path.join(root, 'links') }
  makePinDirectory(places.maps)
  makePinDirectory(places.links)
  return places
}

/** On the directory of the pins: two agents that could disturb each other see the same one. */
function takeLock(places: Places): DirectoryLock {
  try {
    return DirectoryLock.take(places.root)
  } catch (error) {
    if (!(error instanceof BpfError && error.code === 'BPF_BUSY')) throw error
    throw new DatapathError('already-running', `another agent runs the datapath in ${places.root}`, {
      hint: 'stop it first (`systemctl stop weft`, or the process named below), or give this one a bpf-root of its own',
      cause: error,
    })
  }
}

/** A setting that nobody reads would be a silent mistake. */
function checkSettings(options: DatapathOptions): void {
  const known = OBJECTS.flatMap((name) => {
    const btf = typesOf(objectPath(options.objectsDir, name))
    return [...btf.variables('.rodata').keys(), ...btf.maps().keys()]
  })
  for (const name of [...Object.keys(options.rodata ?? {}), ...Object.keys(options.mapSizes ?? {})]) {
    if (known.includes(name)) continue
    throw new DatapathError('unknown-setting', `no eBPF object has a variable or map ${name}`, {
      hint: 'program and objects are of different versions: run `make bpf`',
    })
  }
}

function typesOf(file: string): Btf {
  return parseBtf(readFileSync(file), file)
}

function load(name: string, options: DatapathOptions, places: Places): BpfObject {
  const file = objectPath(options.objectsDir, name)
  const btf = typesOf(file)
  const wanted = { ...features(options), ...options.rodata }
  try {
    return BpfObject.open(file, {
      name,
      pinRoot: places.maps,
      rodata: pick(wanted, btf.variables('.rodata')),
      maxEntries: pick(options.mapSizes ?? {}, btf.maps()),
    }).load()
  } catch (error) {
    throw explain(error, places)
  }
}

function features(options: DatapathOptions): Record<string, RodataValue> {
  return {
    cfg_nodeport_min: options.nodePorts.first,
    cfg_nodeport_max: options.nodePorts.last,
    cfg_host_netns_cookie: netnsCookie(),
    cfg_set_retval: probeKernel(undefined, '6.1').ok,
  }
}

function pick<V>(values: Readonly<Record<string, V>>, known: ReadonlyMap<string, unknown>): Record<string, V> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => known.has(name)))
}

function explain(error: unknown, places: Places): unknown {
  if (!(error instanceof BpfError)) return error
  if (error.code === 'BPF_LAYOUT') {
    return new DatapathError(
      'map-layout',
      `the pinned map ${path.join(places.maps, error.subject ?? '')} cannot be used`,
      {
        hint: 'configure the sizes it was made with, or run `weft agent --cleanup` to start empty (this interrupts traffic)',
        cause: error,
      },
    )
  }
  if (error.verifierLog !== undefined) {
    return new DatapathError('program-refused', `the kernel refuses the program ${error.subject ?? ''}`, {
      hint: 'report this with the kernel version and the log above; an older object may work',
      cause: error,
    })
  }
  return error
}

/** Maps of all objects; a pinned map that several share is opened once. `.rodata` and the like stay inside. */
function collectMaps(objects: readonly BpfObject[]): Record<string, BpfMap> {
  const maps: Record<string, BpfMap> = {}
  for (const object of objects) {
    for (const name of object.mapNames)
      if (!name.includes('.') && maps[name] === undefined) maps[name] = object.map(name)
  }
  return maps
}
