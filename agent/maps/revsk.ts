import type { Address } from '../types/address.ts'
import type { Codec } from './codec.ts'
import { MAPS, RevskKey, RevskVal } from './layout.gen.ts'

/** Socket and backend → the address that the application asked for. Written by the programs. */
export const REVSK_MAP = MAPS.w_revsk4_v1

export interface RevSocketKey {
  readonly cookie: bigint
  readonly backend: Address
  readonly port: number
}

export interface RevSocketValue {
  readonly address: Address
  readonly port: number
  readonly serviceId: number
}

export const revSocketKey: Codec<RevSocketKey> = {
  size: RevskKey.size,
  encode(key, buffer, offset = 0) {
    buffer.writeBigUInt64LE(key.cookie, offset + RevskKey.cookie)
    buffer.writeUInt32BE(key.backend, offset + RevskKey.addr)
    buffer.writeUInt16BE(key.port, offset + RevskKey.port)
    buffer.writeUInt16LE(0, offset + RevskKey.zero)
  },
  decode(buffer, offset = 0) {
    return {
      cookie: buffer.readBigUInt64LE(offset + RevskKey.cookie),
      backend: buffer.readUInt32BE(offset + RevskKey.addr) as Address,
      port: buffer.readUInt16BE(offset + RevskKey.port),
    }
  },
}

export const revSocketValue: Codec<RevSocketValue> = {
  size: RevskVal.size,
  encode(value, buffer, offset = 0) {
    buffer.writeUInt32BE(value.address, offset + RevskVal.vip)
    buffer.writeUInt16BE(value.port, offset + RevskVal.port)
    buffer.writeUInt16LE(0, offset + RevskVal.zero)
    buffer.writeUInt32LE(value.serviceId, offset + RevskVal.svcId)
  },
  decode(buffer, offset = 0) {
    return {
      address: buffer.readUInt32BE(offset + RevskVal.vip) as Address,
      port: buffer.readUInt16BE(offset + RevskVal.port),
      serviceId: buffer.readUInt32LE(offset + RevskVal.svcId),
    }
  },
}
