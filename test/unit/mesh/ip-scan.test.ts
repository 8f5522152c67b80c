import type { Address } from '../../../agent/types/address.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseAddress } from '../../../agent/types/address.ts'
import { decodeIp, encodeIp } from '../../../agent/types/wire/ip.ts'
import { IpScan, scanAddress } from '../../../agent/types/wire/ip-scan.ts'

const scan = new IpScan()

/** What a scan found, as the decoder tells it. */
function scanned(text: string): ReturnType<typeof decodeIp> {
  // In the middle of a message, so that reading past either end is noticed.
  const bytes = Buffer.from(`9"${text}"}9`)
  if (!scan.scan(bytes, 2, bytes.length - 3)) return undefined
  return {
    prefix: { address: scan.address as Address, bits: scan.bits },
    hostAddress: scan.host < 0 ? undefined : (scan.host as Address),
    identity: scan.identity,
    namespace: bytes.toString('utf8', scan.namespaceAt, scan.namespaceEnd),
    podName: bytes.toString('utf8', scan.podAt, scan.podEnd),
  }
}

const address = fc.integer({ min: 0, max: 0xffffffff }).map((n) => n as Address)
const plain = fc.stringMatching(/^[-.a-z0-9]{0,60}$/)
const record = fc.record({
  prefix: fc.record({ address, bits: fc.constant(32) }),
  hostAddress: fc.option(address, { nil: undefined }),
  identity: fc.integer({ min: 0, max: 0xffffffff }),
  namespace: plain,
  podName: plain,
})

test('what an exporter writes is read as the decoder reads it', () => {
  fc.assert(
    fc.property(record, (each) => {
      expect(scanned(encodeIp(each))).toEqual(each)
      expect(decodeIp(encodeIp(each))).toEqual(each)
    }),
  )
})

test('whatever it takes, the decoder takes as the same', () => {
  const edit = fc.tuple(
    fc.nat(),
    fc.nat({ max: 3 }),
    fc.constantFrom('', '"', '\\', ',', '}', '0', '9', '.', ' ', 'ü', '"}'),
  )
  fc.assert(
    fc.property(record, edit, (each, [at, length, text]) => {
      const whole = encodeIp(each)
      const from = at % whole.length
      const edited = whole.slice(0, from) + text + whole.slice(from + length)
      const found = scanned(edited)
      if (found !== undefined) expect(decodeIp(edited)).toEqual(found)
    }),
    { numRuns: 5000 },
  )
})

test.each([
  '{"IP":"10.0.0.1","Mask":"/////w==","HostIP":"","ID":1,"Key":0,"Metadata":""}',
  '{"IP":"10.0.0.01","Mask":null,"HostIP":"","ID":1,"Key":0,"Metadata":""}',
  '{"IP":"fd00::1","Mask":null,"HostIP":"","ID":1,"Key":0,"Metadata":""}',
  '{"IP":"10.0.0.1","Mask":null,"HostIP":"fd00::1","ID":1,"Key":0,"Metadata":""}',
  '{"IP":"10.0.0.1","Mask":null,"HostIP":"","ID":4294967296,"Key":0,"Metadata":""}',
  '{"IP":"10.0.0.1","Mask":null,"HostIP":"","ID":01,"Key":0,"Metadata":""}',
  '{"IP":"10.0.0.1","Mask":null,"HostIP":"","ID":1,"Key":0,"Metadata":"","K8sNamespace":"d\\u0061"}',
  '{"IP":"10.0.0.1","Mask":null,"HostIP":"","ID":1,"Key":0,"Metadata":"","NamedPorts":[]}',
])('left to the decoder: %s', (text) => expect(scanned(text)).toBeUndefined())

test('addresses are taken as the parser takes them', () => {
  const parts = fc.array(fc.constantFrom('0', '00', '1', '9', '255', '256', '.', '', '10', ' ', 'a'), { maxLength: 9 })
  fc.assert(
    fc.property(
      parts.map((each) => each.join('')),
      (text) => {
        expect(scanAddress(Buffer.from(`1${text}.1`), 1, 1 + text.length)).toBe(parseAddress(text) ?? -1)
      },
    ),
    { numRuns: 2000 },
  )
})
