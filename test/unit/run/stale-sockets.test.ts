import { expect, test } from 'vitest'
import { desertedIn } from '../../../agent/run/stale-sockets.ts'
import { createTables } from '../../../agent/state/tables.ts'
import type { Node, Pod } from '../../../agent/types/node.ts'
import { parseAddress, parseCidr } from '../../../agent/types/address.ts'

const at = (text: string): number & { readonly __address: 'ip' } => parseAddress(text)!

test('an address is deserted when a pod could have it and none has, in any cluster', () => {
  const tables = createTables()
  const node = { key: 'west/a', cluster: 'west', podCidrs: [parseCidr('10.0.0.0/16')!] }
  tables.nodes.put(node as unknown as Node)
  tables.pods.put({ key: 'default/web', nodeName: 'a', address: at('10.0.0.1') } as unknown as Pod)
  tables.ips.put({
    ...{ key: 'east/10.0.0.2/32', cluster: 'east', prefix: parseCidr('10.0.0.2/32')!, identity: 1 },
    ...{ hostAddress: undefined, namespace: undefined, podName: undefined },
  })
  const deserted = desertedIn(tables)
  expect(deserted(at('10.0.0.3'))).toBe(true)
  expect(deserted(at('10.0.0.1'))).toBe(false)
  expect(deserted(at('10.0.0.2'))).toBe(false)
  // Nobody knows what lives outside of the clusters.
  expect(deserted(at('192.0.2.1'))).toBe(false)
})
