import type { Address } from '../types/address.ts'
import type { Codec } from './codec.ts'
import { DevFlag, DevVal, MAPS } from './layout.gen.ts'

/** Devices towards other nodes and clients, by index; element 0 stands for all of them. */
export const DEVICE_MAP = MAPS.w_dev_v1

export const ALL_DEVICES = 0

export const deviceKey: Codec<number> = {
  size: 4,
  encode(index, buffer, offset = 0) {
    buffer.writeUInt32LE(index, offset)
  },
  decode(buffer, offset = 0) {
    return buffer.readUInt32LE(offset)
  },
}

export interface DeviceEntry {
  /** The node's address there; 0.0.0.0 where it has none. */
  readonly address: Address
  /** Of the element for all: there are several. */
  readonly several: boolean
  /** XDP may send by it. */
  readonly xdp: boolean
}

export const deviceValue: Codec<DeviceEntry> = {
  size: DevVal.size,
  encode(value, buffer, offset = 0) {
    buffer.writeUInt32BE(value.address, offset + DevVal.addr)
    buffer.writeUInt32LE((value.several ? DevFlag.SEVERAL : 0) | (value.xdp ? DevFlag.XDP : 0), offset + DevVal.flags)
  },
  decode(buffer, offset = 0) {
    const flags = buffer.readUInt32LE(offset + DevVal.flags)
    return {
      address: buffer.readUInt32BE(offset + DevVal.addr) as Address,
      several: (flags & DevFlag.SEVERAL) !== 0,
      xdp: (flags & DevFlag.XDP) !== 0,
    }
  },
}
