import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { affinityKey, affinityValue } from '../../../agent/maps/affinity.ts'
import { backendValue } from '../../../agent/maps/backend.ts'
import type { Codec } from '../../../agent/maps/codec.ts'
import { reasonName } from '../../../agent/maps/drop-reasons.ts'
import { endpointKey, endpointValue } from '../../../agent/maps/endpoint.ts'
import { flowKey, flowValue } from '../../../agent/maps/flow.ts'
import { ipcacheKey, ipcacheValue } from '../../../agent/maps/ipcache.ts'
import { metricIndex, metricOf } from '../../../agent/maps/metrics.ts'
import { revNatValue } from '../../../agent/maps/revnat.ts'
import { revSocketKey, revSocketValue } from '../../../agent/maps/revsk.ts'
import { serviceKey, serviceValue } from '../../../agent/maps/service.ts'
import type { Address } from '../../../agent/types/address.ts'

const u8 = fc.integer({ min: 0, max: 0xff })
const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn })
const address = u32.map((value) => value as Address)
const ports = { sourcePort: u16, destinationPort: u16 }
const tuple = { source: address, destination: address, ...ports }

interface Row<T> {
  readonly codec: Codec<T>
  readonly values: fc.Arbitrary<T>
}

function row<T>(codec: Codec<T>, values: fc.Arbitrary<T>): Row<unknown> {
  return { codec, values }
}

const CODECS: Readonly<Record<string, Row<unknown>>> = {
  serviceKey: row(serviceKey, fc.record({ address, port: u16, protocol: u8, scope: u8 })),
  serviceValue: row(
    serviceValue,
    fc.record({
      serviceId: u32,
      flags: u32,
      affinitySeconds: u32,
      algorithm: u8,
      forward: u8,
      count: u32,
      quarantined: u32,
      slotOffset: u32,
      maglevOffset: u32,
      maglevSize: u32,
    }),
  ),
  backendValue: row(
    backendValue,
    fc.record({
      address,
      port: u16,
      protocol: u8,
      state: u8,
      clusterId: u16,
      zone: u8,
      flags: u8,
      nodeAddress: address,
    }),
  ),
  revNatValue: row(revNatValue, fc.record({ address, port: u16, flags: u16 })),
  flowKey: row(flowKey, fc.record({ ...tuple, protocol: u8 })),
  flowValue: row(
    flowValue,
    fc.record({
      ...tuple,
      addressDiff: u16,
      portDiff: u16,
      serviceId: u32,
      backendId: u32,
      expires: u32,
      last: u32,
      flags: u32,
      created: u32,
    }),
  ),
  affinityKey: row(affinityKey, fc.record({ client: u64, serviceId: u32, isNetns: fc.boolean() })),
  affinityValue: row(affinityValue, fc.record({ last: u32, backendId: u32 })),
  revSocketKey: row(revSocketKey, fc.record({ cookie: u64, backend: address, port: u16 })),
  revSocketValue: row(revSocketValue, fc.record({ address, port: u16, serviceId: u32 })),
  ipcacheKey: row(ipcacheKey, fc.record({ address, bits: fc.integer({ min: 0, max: 32 }) })),
  ipcacheValue: row(
    ipcacheValue,
    fc.record({
      identity: u32,
      tunnel: fc.option(address, { nil: undefined }),
      clusterId: u16,
      remoteCluster: fc.boolean(),
      isNode: fc.boolean(),
      takesDsr: fc.boolean(),
    }),
  ),
  endpointKey: row(endpointKey, address),
  endpointValue: row(endpointValue, fc.record({ identity: u32, isHost: fc.boolean() })),
}

describe.each(Object.entries(CODECS))('%s', (_name, { codec, values }) => {
  it('gives back what was written, whatever lay there before, and touches nothing beside it', () => {
    fc.assert(
      fc.property(values, u8, u8, (value, before, other) => {
        const a = Buffer.alloc(codec.size + 8, before)
        const b = Buffer.alloc(codec.size + 8, other)
        codec.encode(value, a, 4)
        codec.encode(value, b, 4)
        expect(codec.decode(a, 4)).toEqual(value)
        // Every byte is written: hash maps compare padding too.
        expect(a.subarray(4, 4 + codec.size).equals(b.subarray(4, 4 + codec.size))).toBe(true)
        expect(a.readUInt32LE(0)).toBe(Buffer.alloc(4, before).readUInt32LE(0))
        expect(a.readUInt32LE(4 + codec.size)).toBe(Buffer.alloc(4, before).readUInt32LE(0))
      }),
    )
  })
})

it('addresses and ports are in network order, ids in host order', () => {
  const buffer = Buffer.alloc(serviceKey.size)
  serviceKey.encode({ address: 0x0a600001 as Address, port: 80, protocol: 6, scope: 1 }, buffer)
  expect(buffer.toString('hex')).toBe('0a60000100500601' + '00000000')
})

it('reasons have names, also those that are not known', () => {
  expect([0, 158, 174, 250].map(reasonName)).toEqual([
    'forwarded',
    'no-service',
    'cluster-ip-from-outside',
    'reason-250',
  ])
})

it('a counter’s index tells its direction and reason', () => {
  expect(metricOf(metricIndex(2, 158))).toEqual({ direction: 2, reason: 158 })
})
