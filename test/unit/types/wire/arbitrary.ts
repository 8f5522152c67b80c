import fc from 'fast-check'
import type { Address } from '../../../../agent/types/address.ts'
import type { Endpoint, EndpointPort } from '../../../../agent/types/backend.ts'
import { maskAddress } from '../../../../agent/types/address.ts'

/** What records of the wire are made of. */

export const address = fc.integer({ min: 0, max: 0xffffffff }).map((value) => value as Address)
export const prefix = fc
  .tuple(address, fc.integer({ min: 0, max: 32 }))
  .map(([value, bits]) => ({ address: maskAddress(value, bits), bits }))
export const text = fc.string({ unit: 'grapheme', maxLength: 12 })
export const labels = fc.dictionary(text, text, { maxKeys: 4, noNullPrototype: true })
export const ports = fc.uniqueArray(
  fc.record<EndpointPort>({
    name: fc.oneof(fc.constant(''), fc.constant('8080'), text),
    protocol: fc.constantFrom(6, 17, 132),
    port: fc.integer({ min: 1, max: 65535 }),
  }),
  { selector: ({ name }) => name, maxLength: 3 },
)
export const endpoint = fc.record<Endpoint>({
  address,
  ports,
  condition: fc.constantFrom('ready', 'serving', 'not-ready'),
  nodeName: fc.constant(undefined),
  zone: fc.option(
    text.filter((zone) => zone !== ''),
    { nil: undefined },
  ),
  weight: fc.oneof(fc.constant(100), fc.integer({ min: 1, max: 65535 })),
})
