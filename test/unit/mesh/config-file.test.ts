import { expect, test } from 'vitest'
import { isClusterFile, parseClusterFile } from '../../../agent/sources/mesh/config-file.ts'

test('an etcd client configuration is read', () => {
  const content = `endpoints:
- https://east.mesh.cilium.io:32379
trusted-ca-file: /var/lib/cilium/clustermesh/common-etcd-client-ca.crt
key-file: /var/lib/cilium/clustermesh/common-etcd-client.key
cert-file: /var/lib/cilium/clustermesh/common-etcd-client.crt
`
  expect(isClusterFile(content)).toBe(true)
  expect(parseClusterFile('/dir/east', content)).toEqual({
    endpoints: ['https://east.mesh.cilium.io:32379'],
    caFile: '/var/lib/cilium/clustermesh/common-etcd-client-ca.crt',
    keyFile: '/var/lib/cilium/clustermesh/common-etcd-client.key',
    certFile: '/var/lib/cilium/clustermesh/common-etcd-client.crt',
  })
})

test('a certificate is no cluster', () => {
  expect(isClusterFile('-----BEGIN CERTIFICATE-----')).toBe(false)
})

test.each([
  ['endpoints: []', /not a list/],
  ['endpoints: http://a:1', /not a list/],
  ['endpoints: [ftp://a:1]', /"ftp:\/\/a:1" is not/],
  ['endpoints: ["http://a"]', /is not http:\/\/HOST:PORT/],
  ['endpoints: [7]', /is not/],
  ['endpoints: ["http://a:1", "https://b:2"]', /mixes/],
  ['endpoints: ["http://a:1"]\nkey-file: [x]', /key-file is not a file name/],
  ['# endpoints:\n', /not a YAML mapping/],
  ['x: 1\nendpoints: [', /^\/dir\/east:[23]: /],
])('%j is refused with its place and what to do', (content, message) => {
  expect(() => parseClusterFile('/dir/east', content)).toThrow(message)
  expect(() => parseClusterFile('/dir/east', content)).toThrow(/^\/dir\/east/)
  try {
    parseClusterFile('/dir/east', content)
  } catch (error) {
    expect((error as { hint?: string }).hint).toContain('endpoints')
  }
})
