import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatAddress, parseAddress } from '../../../agent/types/address.ts'

/** The same said in another way. */
function model(text: string): number | undefined {
  const octets = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/
    .exec(text)
    ?.slice(1)
    .map(Number)
  if (octets === undefined || octets.some((octet) => octet > 255)) return undefined
  return octets.reduce((value, octet) => value * 256 + octet, 0)
}

const octet = fc.oneof(
  fc.nat(300).map(String),
  fc.constantFrom('', '0', '00', '01', '255', '256', '1000', ' 1', '1\n', 'a', '٣'),
)
const quads = fc.array(octet, { minLength: 3, maxLength: 5 }).map((octets) => octets.join('.'))
const near = fc.tuple(quads, fc.constantFrom('', '.', '/', '\n', ' ')).map(([quad, tail]) => quad + tail)

test('a strict dotted quad is an address, and nothing else is', () => {
  fc.assert(
    fc.property(fc.oneof(near, fc.ipV4(), fc.string()), (text) => void expect(parseAddress(text)).toBe(model(text))),
    { numRuns: 3000 },
  )
})

test('every address is read as it was printed', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffffffff }),
      (n) => void expect(parseAddress(formatAddress(n as never))).toBe(n),
    ),
  )
})
