import type { Address } from '../types/address.ts'
import type { Codec } from './codec.ts'
import { MAPS, SvcAlgorithm, SvcFlag, SvcForward, SvcKey, SvcScope, SvcVal } from './layout.gen.ts'

/** Frontend → service: one element publishes everything about it. */
export const SERVICE_MAP = MAPS.w_svc4_v1

export const SVC_FLAGS = SvcFlag
export const SVC_SCOPES = SvcScope
export const SVC_ALGORITHMS = SvcAlgorithm
export const SVC_FORWARD = SvcForward

/** Protocol 0 and port 0: the whole address (flag WILDCARD_DROP). Address 0.0.0.0: a NodePort as sockets look it up. */
export interface ServiceKey {
  readonly address: Address
  readonly port: number
  readonly protocol: number
  /** SVC_SCOPES. */
  readonly scope: number
}

/**
 * Slots [slotOffset, slotOffset + count) of the slot array are selectable, the next `quarantined` ones are not;
 * [maglevOffset, maglevOffset + maglevSize) is the Maglev table, size 0 for none.
 */
export interface ServiceValue {
  readonly serviceId: number
  /** SVC_FLAGS. */
  readonly flags: number
  readonly affinitySeconds: number
  readonly algorithm: number
  readonly forward: number
  readonly count: number
  readonly quarantined: number
  readonly slotOffset: number
  readonly maglevOffset: number
  readonly maglevSize: number
}

export const serviceKey: Codec<ServiceKey> = {
  size: SvcKey.size,
  encode(key, buffer, offset = 0) {
    buffer.writeUInt32BE(key.address, offset + SvcKey.vip)
    buffer.writeUInt16BE(key.port, offset + SvcKey.port)
    buffer.writeUInt8(key.protocol, offset + SvcKey.proto)
    buffer.writeUInt8(key.scope, offset + SvcKey.scope)
    buffer.writeUInt32LE(0, offset + SvcKey.zero)
  },
  decode(buffer, offset = 0) {
    return {
      address: buffer.readUInt32BE(offset + SvcKey.vip) as Address,
      port: buffer.readUInt16BE(offset + SvcKey.port),
      protocol: buffer.readUInt8(offset + SvcKey.proto),
      scope: buffer.readUInt8(offset + SvcKey.scope),
    }
  },
}

export const serviceValue: Codec<ServiceValue> = {
  size: SvcVal.size,
  encode(value, buffer, offset = 0) {
    buffer.writeUInt32LE(value.serviceId, offset + SvcVal.svcId)
    buffer.writeUInt32LE(value.flags, offset + SvcVal.flags)
    buffer.writeUInt32LE(value.affinitySeconds, offset + SvcVal.affinityTimeoutS)
    buffer.writeUInt8(value.algorithm, offset + SvcVal.algorithm)
    buffer.writeUInt8(value.forward, offset + SvcVal.fwdMode)
    buffer.writeUInt16LE(0, offset + SvcVal.zero)
    buffer.writeUInt32LE(value.count, offset + SvcVal.count)
    buffer.writeUInt32LE(value.quarantined, offset + SvcVal.qcount)
    buffer.writeUInt32LE(value.slotOffset, offset + SvcVal.slotOff)
    buffer.writeUInt32LE(value.maglevOffset, offset + SvcVal.magOff)
    buffer.writeUInt32LE(value.maglevSize, offset + SvcVal.magM)
  },
  decode(buffer, offset = 0) {
    return {
      serviceId: buffer.readUInt32LE(offset + SvcVal.svcId),
      flags: buffer.readUInt32LE(offset + SvcVal.flags),
      affinitySeconds: buffer.readUInt32LE(offset + SvcVal.affinityTimeoutS),
      algorithm: buffer.readUInt8(offset + SvcVal.algorithm),
      forward: buffer.readUInt8(offset + SvcVal.fwdMode),
      count: buffer.readUInt32LE(offset + SvcVal.count),
      quarantined: buffer.readUInt32LE(offset + SvcVal.qcount),
      slotOffset: buffer.readUInt32LE(offset + SvcVal.slotOff),
      maglevOffset: buffer.readUInt32LE(offset + SvcVal.magOff),
      maglevSize: buffer.readUInt32LE(offset + SvcVal.magM),
    }
  },
}
