import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeClusterConfig } from '../../../../agent/types/wire/cluster-config.ts'
import { WireError } from '../../../../agent/types/wire/go-json.ts'
import { decodeIdentity } from '../../../../agent/types/wire/identity.ts'
import { decodeIp } from '../../../../agent/types/wire/ip.ts'
import { decodeNode } from '../../../../agent/types/wire/node.ts'
import { decodeService } from '../../../../agent/types/wire/service.ts'

test('whatever is under a key is decoded or refused, nothing else', () => {
  const value = fc.oneof(
    fc.json(),
    fc.string(),
    fc.object().map((object) => JSON.stringify({ backends: object })),
  )
  fc.assert(
    fc.property(value, (json) => {
      for (const decode of [decodeService, decodeNode, decodeIp, decodeClusterConfig, decodeIdentity]) {
        try {
          decode(json)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }
    }),
  )
})
