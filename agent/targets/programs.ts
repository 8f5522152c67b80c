import { readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import path from 'node:path'
import type { BpfMap, BpfObject } from '../../native/index.ts'
import type { SysctlReport } from './datapath/sysctl.ts'
import { encoded } from '../maps/codec.ts'
import { FLOW_MAPS } from '../maps/flow.ts'
import { PORTS_MAP, unknownPorts } from '../maps/ports.ts'
import { slotKey } from '../maps/slot.ts'
import { BpfError, DirectoryLock, makePinDirectory } from '../../native/index.ts'
import type { UplinkState } from '../types/device.ts'
import type { Wanted } from './datapath/attachments.ts'
import type { ObjectOptions } from './datapath/objects.ts'
import { Attachments } from './datapath/attachments.ts'
import { checkMachine, DatapathError, objectsFor } from './datapath/checks.ts'
import { describeHook, detachPin, isInPlace, pinsIn } from './datapath/hook.ts'
import { checkSettings, loadObject } from './datapath/objects.ts'
import { setSysctls } from './datapath/sysctl.ts'
import type { UplinkDevice } from './datapath/uplinks.ts'
import { UplinkHooks } from './datapath/uplinks.ts'

export interface DatapathOptions extends ObjectOptions {
  /** A bpffs directory; pins go to `weft/maps` and `weft/links` below it. */
  readonly bpfRoot: string
  /** cgroup2 directory whose processes see services. */
  readonly cgroupRoot: string
  /** Device to other nodes and the world. */
  readonly uplink: string
  /** All devices that face other nodes and clients; the uplink alone where nothing is said. */
  readonly devices?: readonly UplinkDevice[]
  /** False: calls of processes are left alone, and programs on the cgroup taken away. */
  readonly sockets?: boolean
}

export interface ProgramHandle {
  readonly name: string
  readonly attachedTo: string
  /** The kernel's id of the program. */
  readonly id: number
}

const POD_PROGRAMS = [
  { program: 'weft_to_pod', direction: 'egress' },
  { program: 'weft_from_pod', direction: 'ingress' },
] as const
const SOCKET_PROGRAMS = ['weft_connect4', 'weft_sendmsg4', 'weft_recvmsg4', 'weft_getpeername4', 'weft_release']

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
  #sysctls: readonly SysctlReport[] = []
  readonly #options: DatapathOptions
  readonly #places: Places
  readonly #lock: DirectoryLock
  readonly #objects: readonly BpfObject[]
  readonly #attachments: Attachments
  readonly #uplinkHooks: UplinkHooks
  #uplinks: readonly UplinkState[] = []

  private constructor(options: DatapathOptions, places: Places, lock: DirectoryLock, objects: readonly BpfObject[]) {
    this.#options = options
    this.#places = places
    this.#lock = lock
    this.#objects = objects
    this.maps = collectMaps(objects)
    this.#attachments = new Attachments(places.links, (name) => this.#program(name))
    this.#uplinkHooks = new UplinkHooks(this.#attachments, options.acceleration ?? 'disabled', options.xdpTx ?? true)
  }

  /**
   * Throws DatapathError: those of `checkMachine`, `unknown-setting`, `already-running`, `map-layout` (a pinned map differs from what this
   * version or configuration wants), `program-refused`, `xdp-refused`. What was running before is then still running, unchanged
   * but for XDP where another mode is wanted.
   */
  static async open(options: DatapathOptions): Promise<Datapath> {
    checkMachine(options)
    checkSettings(options)
    const places = placesIn(options.bpfRoot)
    const lock = takeLock(places)
    const before = new Set(readdirSync(places.maps))
    const objects: BpfObject[] = []
    let datapath: Datapath | undefined
    try {
      for (const name of objectsFor(options.acceleration)) objects.push(await loadObject(name, options, places.maps))
      datapath = new Datapath(options, places, lock, objects)
      datapath.#expectFlows(before)
      datapath.#attachAll()
      if (options.sockets === false) datapath.#attachments.forgetCgroup()
      return datapath
    } catch (error) {
      for (const pin of readdirSync(places.maps)) if (!before.has(pin)) unlinkSync(path.join(places.maps, pin))
      if (datapath !== undefined) datapath.close()
      else for (const object of objects) object.close()
      lock.close()
      throw error
    }
  }

  /** Flows that were there before anybody noted their ports must be found. */
  #expectFlows(before: ReadonlySet<string>): void {
    if (before.has(PORTS_MAP.name) || !FLOW_MAPS.some(({ name }) => before.has(name))) return
    this.maps[PORTS_MAP.name]?.update(encoded(slotKey, 0), unknownPorts())
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

  /** Kernel settings, as they were found when the devices were last looked at. */
  get sysctls(): readonly SysctlReport[] {
    return this.#sysctls
  }

  /** What became of the devices that face other nodes and clients. */
  get uplinks(): readonly UplinkState[] {
    return this.#uplinks
  }

  get programs(): ProgramHandle[] {
    return this.#attachments.list().map(({ program, hook }) => ({
      name: program.name,
      attachedTo: describeHook(hook),
      id: program.info().id,
    }))
  }

  /** Devices that run the pods' program, the node's sides of their veths. */
  podDevices(): ReadonlySet<string> {
    const counts = new Map<string, number>()
    for (const { pin, device } of this.#podPins()) if (isInPlace(pin)) counts.set(device, (counts.get(device) ?? 0) + 1)
    return new Set([...counts].filter(([, count]) => count === POD_PROGRAMS.length).map(([device]) => device))
  }

  /** Makes exactly these devices run the pods' program. A device that is gone takes its attachment with it. */
  setPodDevices(devices: readonly string[]): void {
    const hooks = devices.flatMap((device) =>
      POD_PROGRAMS.map(({ program, direction }): Wanted => ({ program, hook: { kind: 'tc', device, direction } })),
    )
    this.#attachments.attach(hooks.filter(({ program, hook }) => !this.#attachments.holds(program, hook)))
    const wanted = new Set(devices)
    for (const { pin, device } of this.#podPins()) if (!wanted.has(device)) this.#attachments.forget(pin)
  }

  /** Makes exactly these devices run the programs of uplinks, and sets what forwarding by them needs. Never throws for one of them. */
  setUplinks(devices: readonly UplinkDevice[]): readonly UplinkState[] {
    this.#uplinks = this.#uplinkHooks.set(devices)
    const names = devices.map(({ name }) => name)
    this.#sysctls = setSysctls(names, this.#options.nodePorts)
    return this.#uplinks
  }

  #podPins(): { readonly pin: string; readonly program: string; readonly device: string }[] {
    return this.#attachments.places().flatMap(({ pin, program, place }) => {
      return POD_PROGRAMS.some((each) => each.program === program) ? [{ pin, program, device: place.device }] : []
    })
  }

  /** Calls a program that is attached to nothing with `args`; gives back what it made of them. Throws BpfError when it fails. */
  call(program: string, args: Buffer): Buffer {
    const { retval, args: result } = this.#program(program).call(args)
    if (retval !== 0) throw new BpfError({ fn: program, code: 'BPF_PROGRAM', reason: `returned ${retval}` })
    return result
  }

  /** Lets go of the handles and of the lock. Everything in the kernel keeps running. */
  close(): void {
    this.#attachments.close()
    for (const map of Object.values(this.maps)) map.close()
    for (const object of this.#objects) {
      for (const name of object.programNames) object.program(name).close()
      object.close()
    }
    this.#lock.close()
  }

  #attachAll(): void {
    const { cgroupRoot, uplink, nodePorts, sockets: bySockets = true } = this.#options
    const devices = this.#options.devices ?? [{ name: uplink, kind: undefined, hidesTags: false }]
    const names = devices.map(({ name }) => name)
    this.#sysctls = setSysctls(names, nodePorts)
    const sockets = (bySockets ? SOCKET_PROGRAMS : []).map((program): Wanted => {
      return { program, hook: { kind: 'cgroup', directory: cgroupRoot } }
    })
    const states: UplinkState[] = []
    this.#attachments.attach([...sockets, ...this.#uplinkHooks.wanted(devices, states)])
    this.#uplinkHooks.settle(names)
    this.#uplinks = states
  }

  #program(name: string): ReturnType<BpfObject['program']> {
    const owner = this.#objects.find((object) => object.programNames.includes(name))
    if (owner === undefined)
      throw new DatapathError('object-missing', `no object has the program ${name}`, { hint: 'run `make bpf`' })
    return owner.program(name)
  }
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

/** Maps of all objects; a pinned map that several share is opened once. `.rodata` and the like stay inside. */
function collectMaps(objects: readonly BpfObject[]): Record<string, BpfMap> {
  const maps: Record<string, BpfMap> = {}
  for (const object of objects) {
    for (const name of object.mapNames)
      if (!name.includes('.') && maps[name] === undefined) maps[name] = object.map(name)
  }
  return maps
}
