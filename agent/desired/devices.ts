import type { Address } from '../types/address.ts'
import type { NetDevice, UplinkState } from '../types/device.ts'
import type { Problem } from '../types/problem.ts'

export interface DeviceWish {
  /** Device towards other nodes: always one of them, and the first. */
  readonly uplink: string
  /** Names, or beginnings of names that end in `+`; undefined: found by themselves. */
  readonly patterns: readonly string[] | undefined
}

/**
 * Devices that face other nodes and clients, the uplink first: those that are named, otherwise those by which a default route
 * leaves.
 */
export function chooseDevices(wish: DeviceWish, present: readonly NetDevice[]): NetDevice[] {
  const wanted = (device: NetDevice): boolean =>
    wish.patterns === undefined ? device.isDefault : wish.patterns.some((pattern) => matches(pattern, device.name))
  const uplink = present.filter(({ name }) => name === wish.uplink)
  return [
    ...uplink,
    ...present.filter((device) => device.name !== wish.uplink && device.name !== 'lo' && wanted(device)),
  ]
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('+') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}

/** Addresses of this node on these devices, `primary` first. */
export function deviceAddresses(primary: Address, devices: readonly NetDevice[]): Address[] {
  return [...new Set([primary, ...devices.flatMap(({ addresses }) => addresses)])]
}

/** What the programs know of a device; key 0 stands for all of them. */
export interface DeviceValue {
  readonly address: Address
  readonly several: boolean
  readonly xdp: boolean
}

/** The whole content of the device map, by index. */
export function deviceEntries(
  primary: Address,
  devices: readonly NetDevice[],
  states: readonly UplinkState[],
): Map<number, DeviceValue> {
  const native = new Set(states.filter(({ xdp }) => xdp === 'native').map(({ device }) => device))
  const own = devices.map(({ index, name, addresses }): [number, DeviceValue] => {
    const address = addresses.includes(primary) ? primary : (addresses[0] ?? primary)
    return [index, { address, several: false, xdp: native.has(name) }]
  })
  return new Map([[0, { address: primary, several: devices.length > 1, xdp: false }], ...own])
}

/** Devices that were named and are not there, and those that could not be used as they should. */
export function deviceProblems(
  wish: DeviceWish,
  devices: readonly NetDevice[],
  states: readonly UplinkState[],
  demanded: boolean,
): Problem[] {
  const there = new Set(devices.map(({ name }) => name))
  const named = [wish.uplink, ...(wish.patterns ?? [])].filter((pattern) => !pattern.endsWith('+'))
  return [
    ...[...new Set(named)]
      .filter((name) => !there.has(name))
      .map((name) => ({
        code: 'device-missing',
        message: `device ${name} does not exist: nothing is forwarded by it`,
        hint: 'it is used as soon as it appears; `ip link` shows what there is, and the setting `devices` names what is used',
      })),
    ...states.flatMap(({ device, error }) =>
      error === undefined
        ? []
        : [
            {
              code: 'device-not-attached',
              message: `no program could be attached to ${device}: ${error}`,
              hint: 'it is tried again at the next change and at every audit',
            },
          ],
    ),
    ...states.flatMap(({ device, reason }) =>
      reason === undefined || !demanded
        ? []
        : [
            {
              code: 'xdp-refused',
              message: `XDP cannot be attached to ${device}: ${reason}`,
              hint: 'packets are forwarded at tc meanwhile; set loadBalancer.acceleration to best-effort if that is meant',
            },
          ],
    ),
  ]
}
