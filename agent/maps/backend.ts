import type { Address } from '../types/address.ts'
import { type Codec, mappedStride, u32Codec } from './codec.ts'
import { BeFlag, BeState, BeVal, MAPS } from './layout.gen.ts'

/** Backend id → backend. An array: id 0 is never used, an all-zero element is no backend. */
export const BACKEND_MAP = MAPS.w_be4_v1

export const BACKEND_STRIDE = mappedStride(BACKEND_MAP)

export const BACKEND_STATES = BeState
export const BACKEND_FLAGS = BeFlag

export interface BackendValue {
  readonly address: Address
  readonly port: number
  readonly protocol: number
  /** BACKEND_STATES; 0 when there is none. */
  readonly state: number
  readonly clusterId: number
  readonly zone: number
  /** BACKEND_FLAGS. */
  readonly flags: number
  readonly nodeAddress: Address
}

export const backendKey = u32Codec

export const backendValue: Codec<BackendValue> = {
  size: BeVal.size,
  encode(value, buffer, offset = 0) {
    buffer.writeUInt32BE(value.address, offset + BeVal.addr)
    buffer.writeUInt16BE(value.port, offset + BeVal.port)
    buffer.writeUInt8(value.protocol, offset + BeVal.proto)
    buffer.writeUInt8(value.state, offset + BeVal.state)
    buffer.writeUInt16LE(value.clusterId, offset + BeVal.clusterId)
    buffer.writeUInt8(value.zone, offset + BeVal.zone)
    buffer.writeUInt8(value.flags, offset + BeVal.flags)
    buffer.writeUInt32BE(value.nodeAddress, offset + BeVal.nodeIp)
  },
  decode(buffer, offset = 0) {
    return {
      address: buffer.readUInt32BE(offset + BeVal.addr) as Address,
      port: buffer.readUInt16BE(offset + BeVal.port),
      protocol: buffer.readUInt8(offset + BeVal.proto),
      state: buffer.readUInt8(offset + BeVal.state),
      clusterId: buffer.readUInt16LE(offset + BeVal.clusterId),
      zone: buffer.readUInt8(offset + BeVal.zone),
      flags: buffer.readUInt8(offset + BeVal.flags),
      nodeAddress: buffer.readUInt32BE(offset + BeVal.nodeIp) as Address,
    }
  },
}
