import { readdirSync, statSync, unlinkSync } from 'node:fs'
import path from 'node:path'
import type { BpfProgram, Direction } from '../../../native/index.ts'
import type { DevicePlace } from '../../maps/program-pins.ts'
import type { XdpMode } from '../../types/device.ts'
import {
  BpfError,
  BpfLink,
  BpfProgram as Program,
  ClsactHook,
  Errno,
  ifIndex,
  kernelHasTcx,
  XdpFlag,
} from '../../../native/index.ts'
import { parsePin, pinName } from '../../maps/program-pins.ts'

/** Where a program goes. The pin's name is made of it, so another place is another pin. */
export type Hook =
  | { readonly kind: 'cgroup'; readonly directory: string }
  | { readonly kind: 'tc'; readonly device: string; readonly direction: Direction }
  | { readonly kind: 'xdp'; readonly device: string; readonly mode: XdpMode }

/** Our place at a device's clsact on kernels without tcx: one that nobody else is likely to use. */
const FILTER = { handle: 0x77, priority: 1 } as const

export function describeHook(hook: Hook): string {
  if (hook.kind === 'cgroup') return hook.directory
  return `${hook.device} ${hook.kind === 'tc' ? hook.direction : `xdp ${hook.mode}`}`
}

/** The pin of a program in its place, below a directory of pins. */
export function pinPath(linksDir: string, program: string, hook: Hook): string {
  return path.join(linksDir, pinName(program, placeOf(hook)))
}

function placeOf(hook: Hook): DevicePlace | undefined {
  if (hook.kind === 'cgroup') return undefined
  const { device } = hook
  if (hook.kind === 'tc') return { device, point: hook.direction }
  return { device, point: xdpPoint(hook.mode) }
}

export function xdpPoint(mode: XdpMode): 'xdp' | 'xdpgeneric' {
  return mode === 'native' ? 'xdp' : 'xdpgeneric'
}

/** The direction of a place at clsact: on kernels without tcx, programs at tc are filters and have no links. */
function clsactDirection({ point }: DevicePlace): Direction | undefined {
  return (point === 'ingress' || point === 'egress') && !kernelHasTcx() ? point : undefined
}

/** A program in its place. `undo` restores what was there before; `commit` pins it, so that it outlives the process. */
export interface Attachment {
  readonly pin: string
  readonly hook: Hook
  readonly program: BpfProgram
  commit(): void
  undo(): void
  close(): void
}

/**
 * Puts a program in its place. One that an earlier process left there is replaced in one step, so no packet or call meets
 * an empty hook; where its device or cgroup has gone, or it sits elsewhere, a new attachment is made.
 */
export function attach(program: BpfProgram, hook: Hook, linksDir: string): Attachment {
  const pin = pinPath(linksDir, program.name, hook)
  if (hook.kind === 'tc' && !kernelHasTcx()) return attachFilter(program, hook, pin)
  const existing = openLink(pin)
  if (existing === undefined) return attachNew(program, hook, pin)
  try {
    return sitsAt(existing, hook) ? update(existing, program, hook, pin) : attachNew(program, hook, pin, existing)
  } catch (error) {
    if (error instanceof BpfError && error.errno === Errno.ENOLINK) return attachNew(program, hook, pin, existing)
    existing.close()
    throw error
  }
}

/** Takes away what a pin stands for, and the pin. */
export function detachPin(pin: string): void {
  const place = parsePin(path.basename(pin))?.place
  const direction = place === undefined ? undefined : clsactDirection(place)
  if (place !== undefined && direction !== undefined) {
    const index = deviceIndex(place.device)
    if (index !== undefined) new ClsactPlace(index, direction).remove()
  } else {
    const link = openLink(pin)
    try {
      link?.detach()
    } catch (error) {
      // Its device or cgroup has gone, and the attachment with it.
      if (!(error instanceof BpfError && error.errno === Errno.ENOLINK)) throw error
    } finally {
      link?.close()
    }
  }
  unlinkSync(pin)
}

/** Whether what a device's pin stands for is still attached there: a device that was deleted took its attachment along. */
export function isInPlace(pin: string): boolean {
  const place = parsePin(path.basename(pin))?.place
  const index = place === undefined ? undefined : deviceIndex(place.device)
  if (place === undefined || index === undefined) return false
  const direction = clsactDirection(place)
  if (direction !== undefined) {
    using program = new ClsactPlace(index, direction).current()
    return program !== undefined
  }
  using link = openLink(pin)
  return link?.info().ifindex === index
}

export function pinsIn(linksDir: string): string[] {
  return readdirSync(linksDir)
}

function attachNew(program: BpfProgram, hook: Hook, pin: string, old?: BpfLink): Attachment {
  const link = makeLink(program, hook)
  return {
    pin,
    hook,
    program,
    commit: () => {
      if (old !== undefined) unlinkSync(pin)
      old?.close()
      link.pin(pin)
    },
    undo: () => {
      link.detach()
      link.close()
      old?.close()
    },
    close: () => link.close(),
  }
}

function makeLink(program: BpfProgram, hook: Hook): BpfLink {
  if (hook.kind === 'cgroup') return BpfLink.attachCgroup(program, hook.directory)
  if (hook.kind === 'tc') return BpfLink.attachTcx(program, ifIndex(hook.device), hook.direction)
  return BpfLink.attachXdp(program, ifIndex(hook.device), hook.mode === 'native' ? XdpFlag.DRV : XdpFlag.SKB)
}

function update(link: BpfLink, program: BpfProgram, hook: Hook, pin: string): Attachment {
  const before = Program.openById(link.info().progId)
  try {
    link.update(program)
  } catch (error) {
    before.close()
    throw error
  }
  return {
    pin,
    hook,
    program,
    commit: () => before.close(),
    undo: () => {
      link.update(before)
      before.close()
      link.close()
    },
    close: () => link.close(),
  }
}

/** Whether a pinned link is attached where it should be now. */
function sitsAt(link: BpfLink, hook: Hook): boolean {
  const info = link.info()
  if (hook.kind !== 'cgroup') return info.ifindex === ifIndex(hook.device)
  return info.cgroupId === statSync(hook.directory, { bigint: true }).ino
}

function openLink(pin: string): BpfLink | undefined {
  try {
    return BpfLink.openPinned(pin)
  } catch (error) {
    if (error instanceof BpfError && error.errno === Errno.ENOENT) return undefined
    throw error
  }
}

function deviceIndex(device: string): number | undefined {
  try {
    return ifIndex(device)
  } catch (error) {
    if (error instanceof BpfError && error.errno === Errno.ENODEV) return undefined
    throw error
  }
}

/** One direction of a device's clsact. */
class ClsactPlace {
  readonly #hook: ClsactHook
  readonly #direction: Direction

  constructor(index: number, direction: Direction) {
    this.#hook = ClsactHook.ensure(index)
    this.#direction = direction
  }

  current(): BpfProgram | undefined {
    const id = this.#hook.query(this.#direction, FILTER)
    return id === undefined ? undefined : Program.openById(id)
  }

  put(program: BpfProgram): void {
    this.#hook.attach(program, this.#direction, FILTER)
  }

  remove(): void {
    this.#hook.detach(this.#direction, FILTER)
  }
}

/** A filter stays by itself; the program is pinned beside it only to remember that it is ours. */
function attachFilter(program: BpfProgram, hook: Hook & { kind: 'tc' }, pin: string): Attachment {
  const place = new ClsactPlace(ifIndex(hook.device), hook.direction)
  const before = place.current()
  place.put(program)
  return {
    pin,
    hook,
    program,
    commit: () => {
      before?.close()
      if (statSync(pin, { throwIfNoEntry: false }) !== undefined) unlinkSync(pin)
      program.pin(pin)
    },
    undo: () => {
      if (before === undefined) place.remove()
      else place.put(before)
      before?.close()
    },
    close: () => undefined,
  }
}
