import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAddress, parseCidr } from '../../../../agent/types/address.ts'
import { WireError } from '../../../../agent/types/wire/go-json.ts'
import { decodeIp, decodeMask, encodeIp, encodeMask } from '../../../../agent/types/wire/ip.ts'
import { address, prefix, text } from './arbitrary.ts'

describe('addresses', () => {
  const pod =
    '{"IP":"10.1.1.41","Mask":null,"HostIP":"172.18.0.3","ID":137204,"Key":0,"Metadata":"","K8sNamespace":"default","K8sPodName":"webpod-697b545f57-75q89"}'

  test('are byte for byte what peers write', () => {
    const record = decodeIp(pod)
    expect(record).toEqual({
      prefix: { address: parseAddress('10.1.1.41'), bits: 32 },
      hostAddress: parseAddress('172.18.0.3'),
      identity: 137204,
      namespace: 'default',
      podName: 'webpod-697b545f57-75q89',
    })
    expect(record && encodeIp(record)).toBe(pod)
  })

  test.each([
    [8, '/wAAAA=='],
    [16, '//8AAA=='],
    [24, '////AA=='],
    [30, '/////A=='],
    [0, 'AAAAAA=='],
  ])('/%i is %s', (bits, mask) => {
    expect(encodeMask(bits)).toBe(mask)
    expect(decodeMask(mask)).toBe(bits)
  })

  test('masks with holes or of IPv6 are none', () => {
    expect(decodeMask('/wD/AA==')).toBeUndefined()
    expect(decodeMask('//////////8AAAAAAAAAAA==')).toBeUndefined()
    expect(decodeMask('')).toBeUndefined()
  })

  test('any record survives the way out and back', () => {
    const record = fc.record({
      prefix,
      hostAddress: fc.option(address, { nil: undefined }),
      identity: fc.integer({ min: 0, max: 0xffffff }),
      namespace: text,
      podName: text,
    })
    fc.assert(fc.property(record, (value) => void expect(decodeIp(encodeIp(value))).toEqual(value)))
  })

  test('IPv6 is valid and not ours', () => {
    expect(decodeIp('{"IP":"fd00:10:1:1::2a","Mask":null,"HostIP":"","ID":137204}')).toBeUndefined()
  })

  test.each(['{}', '{"IP":"x","ID":1}', '{"IP":"10.0.0.1","Mask":"/wD/AA==","ID":1}', '{"IP":"10.0.0.1","ID":-1}'])(
    '%s is refused',
    (value) => expect(() => decodeIp(value)).toThrow(WireError),
  )

  test('a prefix is printed with its length only when it is no host', () => {
    expect(
      encodeIp({ prefix: parseCidr('10.1.0.0/16')!, hostAddress: undefined, identity: 2, namespace: '', podName: '' }),
    ).toBe('{"IP":"10.1.0.0","Mask":"//8AAA==","HostIP":"","ID":2,"Key":0,"Metadata":""}')
  })
})
