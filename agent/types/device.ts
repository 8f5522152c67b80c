import type { Address } from './address.ts'

/** A network device of this node. */
export interface NetDevice {
  readonly name: string
  readonly index: number
  readonly mtu: number
  /** As the kernel names it: `veth`, `vlan`; undefined for hardware. */
  readonly kind: string | undefined
  /** Those of global scope, in the order of the kernel: the first is the source of what leaves by the device. */
  readonly addresses: readonly Address[]
  /** A default route leaves by it. */
  readonly isDefault: boolean
  /** It has VLANs, and their tags are taken off before XDP sees a frame: to XDP it is one of the device itself. */
  readonly hidesTags: boolean
}

/** How packets of a device are accelerated. */
export type XdpMode = 'native' | 'generic'

/** Setting `loadBalancer.acceleration`. */
export type Acceleration = 'disabled' | 'best-effort' | 'native' | 'generic'

/** What became of a device's programs. */
export interface UplinkState {
  readonly device: string
  readonly xdp: XdpMode | undefined
  /** Why there is no XDP though it is wanted. */
  readonly reason: string | undefined
  /** Why no program of ours is on the device at all. */
  readonly error: string | undefined
}
