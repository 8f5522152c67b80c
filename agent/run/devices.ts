import type { DeviceReport } from '../api/types.ts'
import type { DeviceWish } from '../desired/devices.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Address } from '../types/address.ts'
import type { Acceleration, NetDevice, UplinkState } from '../types/device.ts'
import type { Problem } from '../types/problem.ts'
import { chooseDevices, deviceAddresses, deviceEntries, deviceProblems } from '../desired/devices.ts'
import { describeError } from '../lib/errors.ts'
import { formatAddress } from '../types/address.ts'

/** How often the kernel is asked whether anything changed, and how long it is to be quiet for. */
const ASK_MS = 100

export interface DeviceKeeperOptions {
  readonly wish: DeviceWish
  readonly acceleration: Acceleration
  /** The configured node address; undefined: the first one of the uplink, whatever it is at the time. */
  readonly nodeIp: Address | undefined
  /** The node's address at the start. */
  readonly address: Address
  readonly read: () => Promise<NetDevice[]>
  /** Whether anything about devices changed since it was asked last. */
  readonly changed: () => boolean
  /** Puts the programs on exactly these devices. */
  readonly attach: (devices: readonly NetDevice[]) => readonly UplinkState[]
  readonly write: (entries: ReturnType<typeof deviceEntries>) => void
  readonly onProblems: (problems: readonly Problem[]) => void
  /** Called with all addresses that came or went. */
  readonly onAddresses: (changed: readonly Address[]) => void
  readonly auditMs: number
  readonly clock: Clock
  readonly log: Log
}

/**
 * The node's devices, as they come, go and change: programs, what the programs know of them, and the addresses that node ports
 * answer on. A device that gives trouble disturbs no other one.
 */
export class DeviceKeeper {
  readonly #options: DeviceKeeperOptions
  #devices: readonly NetDevice[] = []
  #states: readonly UplinkState[] = []
  #primary: Address
  #addresses: readonly Address[] = []
  #cancel: (() => void) | undefined
  #busy: Promise<void> = Promise.resolve()
  #stopped = false
  #audited = 0

  constructor(options: DeviceKeeperOptions) {
    this.#options = options
    this.#primary = options.address
  }

  /** Of this node, the one that other nodes know first. */
  get addresses(): readonly Address[] {
    return this.#addresses
  }

  /** `states` is what was attached at the start. */
  start(devices: readonly NetDevice[], states: readonly UplinkState[]): void {
    this.#take(devices, states)
    this.#audited = this.#options.clock.now()
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    await this.#busy
  }

  reports(): DeviceReport[] {
    return this.#devices.map(({ name, mtu, addresses }) => {
      const state = this.#states.find(({ device }) => device === name)
      return {
        name,
        mtu,
        addresses: addresses.map(formatAddress),
        xdp: state?.xdp ?? 'disabled',
        ...(state?.reason === undefined ? {} : { reason: state.reason }),
      }
    })
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#cancel = this.#options.clock.after(ASK_MS, () => {
      this.#busy = this.#look().finally(() => this.#schedule())
    })
  }

  async #look(): Promise<void> {
    const { clock, auditMs, changed, log } = this.#options
    try {
      const due = clock.now() - this.#audited >= auditMs
      if (!changed() && !due) return
      this.#audited = clock.now()
      const devices = chooseDevices(this.#options.wish, await this.#options.read())
      if (this.#stopped) return
      this.#take(devices, this.#options.attach(devices))
    } catch (error) {
      log.warn({ err: describeError(error) }, 'devices could not be read; they are tried again')
      this.#audited = clock.now() - auditMs + 10 * ASK_MS
    }
  }

  #take(devices: readonly NetDevice[], states: readonly UplinkState[]): void {
    const { wish, nodeIp, acceleration, write, onProblems, onAddresses, log } = this.#options
    const uplink = devices.find(({ name }) => name === wish.uplink)
    this.#primary = nodeIp ?? this.#primaryOf(uplink?.addresses ?? [])
    const before = this.#addresses
    const names = (list: readonly NetDevice[]): string => list.map(({ name }) => name).join(' ')
    if (names(devices) !== names(this.#devices)) log.info({ devices: names(devices) }, 'devices')
    this.#devices = devices
    this.#states = states
    this.#addresses = deviceAddresses(this.#primary, devices)
    write(deviceEntries(this.#primary, devices, states))
    onProblems(deviceProblems(wish, devices, states, acceleration === 'native' || acceleration === 'generic'))
    const changed = [
      ...before.filter((address) => !this.#addresses.includes(address)),
      ...this.#addresses.filter((address) => !before.includes(address)),
    ]
    if (changed.length > 0) onAddresses(changed)
  }

  /** The one that is known stays as long as the uplink has it, or has none at all. */
  #primaryOf(addresses: readonly Address[]): Address {
    return addresses.includes(this.#primary) ? this.#primary : (addresses[0] ?? this.#primary)
  }
}
