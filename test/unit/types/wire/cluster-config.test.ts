import { describe, expect, test } from 'vitest'
import { decodeClusterConfig, encodeClusterConfig } from '../../../../agent/types/wire/cluster-config.ts'
import { WireError } from '../../../../agent/types/wire/go-json.ts'

describe('cluster-config', () => {
  const east =
    '{"id":2,"capabilities":{"syncedCanaries":true,"maxConnectedClusters":255,"serviceExportsEnabled":false}}'

  test('is byte for byte what peers write', () => {
    expect(encodeClusterConfig(decodeClusterConfig(east))).toBe(east)
    const cached = east.replace('"syncedCanaries":true', '"syncedCanaries":true,"cached":true')
    expect(encodeClusterConfig(decodeClusterConfig(cached))).toBe(cached)
    expect(encodeClusterConfig(decodeClusterConfig('{"capabilities":{}}'))).toBe('{"capabilities":{}}')
  })

  test('what a copy says of its link comes after all that peers know, in ASCII', () => {
    const link = { connected: false, silentSince: 1_790_000_000_000, at: 1_790_000_006_000, reason: 'cut – "gone" <b>' }
    const text = encodeClusterConfig({ ...decodeClusterConfig(east), link })
    expect(text).toBe(
      `${east.slice(0, -1)},"link":{"connected":false,"silentSince":"2026-09-21T14:13:20.000Z",` +
        '"at":"2026-09-21T14:13:26.000Z","reason":"cut \\u2013 \\"gone\\" \\u003cb\\u003e"}}',
    )
    expect(decodeClusterConfig(text).link).toEqual(link)
    const alive = encodeClusterConfig({ ...decodeClusterConfig(east), link: { connected: true, reason: '' } })
    expect(alive).toBe(`${east.slice(0, -1)},"link":{"connected":true}}`)
  })

  test.each(['"up"', '[]', 'null', '{"connected":"yes"}', '{"silentSince":"yesterday"}', '{"silentSince":5}'])(
    'a link that is not ours tells nothing: %s',
    (link) => expect(decodeClusterConfig(`${east.slice(0, -1)},"link":${link}}`)).toEqual(decodeClusterConfig(east)),
  )

  test('unknown fields are ignored, absent ones have their default', () => {
    expect(decodeClusterConfig('{"id":7,"capabilities":{"endpointSlicesExportMode":"x"},"more":[]}')).toEqual({
      id: 7,
      syncedCanaries: false,
      cached: false,
      maxConnectedClusters: 0,
      serviceExportsEnabled: undefined,
    })
    expect(decodeClusterConfig('{"id":7}').id).toBe(7)
  })

  test.each(['{"id":-1}', '{"id":"2"}', '{"id":1.5}', '{"capabilities":[]}', '{"capabilities":{"cached":"yes"}}'])(
    '%s is refused',
    (value) => expect(() => decodeClusterConfig(value)).toThrow(WireError),
  )
})
