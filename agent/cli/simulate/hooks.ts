import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import type { BpfProgram } from '../../../native/index.ts'
import type { PacketProgram } from '../../maps/dry-run.ts'
import { parsePin } from '../../maps/program-pins.ts'
import { CommandError } from '../errors.ts'

/** Where a packet is seen: the program there, and what it makes of a frame. */
export const HOOKS = {
  ingress: { program: 'weft_from_netdev', kind: 'tc' },
  egress: { program: 'weft_to_netdev', kind: 'tc' },
  pod: { program: 'weft_from_pod', kind: 'tc' },
  xdp: { program: 'weft_xdp_uplink', kind: 'xdp' },
} as const satisfies Record<string, { program: string; kind: PacketProgram }>

export type HookName = keyof typeof HOOKS

export interface Place {
  readonly device: string
  readonly ifindex: number
  readonly mac: string
  /** The program that runs there now. */
  readonly program: BpfProgram
}

/** A device of this network namespace, as `ip` tells: /sys may show another namespace's. */
export interface Link {
  readonly ifname: string
  readonly ifindex: number
  readonly address?: string
}

export function listLinks(): Link[] {
  return JSON.parse(execFileSync('ip', ['-j', 'link', 'show'], { encoding: 'utf8' })) as Link[]
}

/** The device that leads to an address, by the routing tables; undefined where none does. `from`: for what came by a device. */
export function deviceTowards(
  address: string,
  from?: { readonly source: string; readonly device: string },
): string | undefined {
  const came = from === undefined ? [] : ['from', from.source, 'iif', from.device]
  try {
    const text = execFileSync('ip', ['-j', 'route', 'get', address, ...came], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return (JSON.parse(text) as { dev?: string }[])[0]?.dev
  } catch {
    return undefined
  }
}

/**
 * The program at a hook, found by its pin, and its device: the named one, or else the only one.
 *
 * @throws CommandError `no-program` when nothing is pinned for the hook, `which-device` when several are
 */
export async function findPlace(root: string, hook: HookName, links: readonly Link[], device?: string): Promise<Place> {
  const directory = `${root}/weft/links`
  const pins = pinsAt(directory, hook)
  const devices = pins.map((pin) => pin.device)
  const index = device === undefined && pins.length === 1 ? 0 : devices.indexOf(device ?? '')
  if (pins.length === 0 || (device !== undefined && index < 0)) {
    const where = device === undefined ? '' : ` of ${device}`
    throw new CommandError('no-program', `no program is attached at ${hook}${where}`, {
      hint:
        devices.length === 0
          ? 'start an agent once; weft status --verbose lists its programs'
          : `there is one at ${devices.join(', ')}`,
    })
  }
  if (index < 0) {
    throw new CommandError('which-device', `several devices have a program at ${hook}`, {
      hint: `name one with --interface: ${devices.join(', ')}`,
    })
  }
  const name = devices[index]!
  const link = links.find(({ ifname }) => ifname === name)
  if (link === undefined) {
    throw new CommandError('no-device', `the device ${name} is not in this network namespace`, {
      hint: 'run the command where the agent runs',
    })
  }
  const program = await openProgram(`${directory}/${pins[index]!.name}`)
  return { device: name, ifindex: link.ifindex, mac: link.address ?? '00:00:00:00:00:00', program }
}

/** Whether one of our programs is at a hook of a device. */
export function hasProgram(root: string, hook: HookName, device: string): boolean {
  return pinsAt(`${root}/weft/links`, hook).some((pin) => pin.device === device)
}

/** The pins of a hook, and the device of each. */
function pinsAt(directory: string, hook: HookName): { readonly name: string; readonly device: string }[] {
  return readdirSync(directory).flatMap((name) => {
    const found = parsePin(name)
    return found?.program === HOOKS[hook].program ? [{ name, device: found.place.device }] : []
  })
}

/** What a pin leads to: a link and its program, or on kernels without tcx the program itself. */
async function openProgram(path: string): Promise<BpfProgram> {
  const { BpfError, BpfLink, BpfProgram: Program } = await import('../../../native/index.ts')
  try {
    using link = BpfLink.openPinned(path)
    return Program.openById(link.info().progId)
  } catch (error) {
    if (error instanceof BpfError && error.code === 'BPF_ARGUMENT') return Program.openPinned(path)
    throw error
  }
}
