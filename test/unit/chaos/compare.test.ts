import { expect, test } from 'vitest'
import { differences } from '../../chaos/compare.ts'
import type { Truth } from '../../chaos/truth.ts'
import { topologyFor } from '../../lab/topology.ts'

const { clusters } = topologyFor({ clusters: 3 })
const node = clusters[0]!.nodes[0]!
const slot = (address: string, quarantined = false) => ({ address, quarantined })
const pod = (identity: string) => ({ clusterId: 2, identity, tunnelEndpoint: '172.18.0.202' })
const entry = (prefix: string, identity: number, tunnelEndpoint = '172.18.0.202') => ({
  ...{ prefix, identity, tunnelEndpoint, clusterId: 2 },
})

function found(truth: Partial<Truth>, maps: Partial<Parameters<typeof differences>[3]>): string[] {
  const none = { frontends: new Map(), names: new Map(), pods: new Map() }
  return differences(node, clusters, { ...none, ...truth }, { frontends: [], ipcache: [], ...maps })
}

test('frontends: only backends that take new connections count, and every other way is told with its service', () => {
  const names = new Map([['10.2.100.0:53/UDP', 'storm/g0-s0']])
  const frontends = new Map([['10.2.100.0:53/UDP', ['a', 'b']]])
  const have = (...slots: ReturnType<typeof slot>[]) => [{ address: '10.2.100.0:53/UDP', slots }]
  expect(found({ names, frontends }, { frontends: have(slot('b'), slot('a'), slot('c', true)) })).toEqual([])
  expect(found({ names, frontends }, { frontends: have(slot('a'), slot('b', true)) })).toEqual([
    'west-control-plane: storm/g0-s0 10.2.100.0:53/UDP has [a]; it should have [a b]',
  ])
  expect(found({ names, frontends }, {})).toHaveLength(1)
  expect(found({ names }, { frontends: have() })).toEqual([
    'west-control-plane: storm/g0-s0 10.2.100.0:53/UDP should not be there; it has []',
  ])
})

test('pods: address, cluster, node, and who shares an identity with whom', () => {
  const pods = new Map([
    ['10.1.64.1/32', pod('x')],
    ['10.1.64.2/32', pod('x')],
    ['10.1.64.3/32', pod('y')],
  ])
  const right = [entry('10.1.64.1/32', 5), entry('10.1.64.2/32', 5), entry('10.1.64.3/32', 6)]
  expect(found({ pods }, { ipcache: [...right, entry('10.1.0.41/32', 9)] })).toEqual([])
  expect(found({ pods }, { ipcache: right.slice(1) })).toHaveLength(1)
  expect(found({ pods }, { ipcache: [...right, entry('10.1.64.9/32', 5)] })).toHaveLength(1)
  expect(found({ pods }, { ipcache: [...right.slice(0, 2), entry('10.1.64.3/32', 5)] })).toHaveLength(1)
  expect(found({ pods }, { ipcache: [entry('10.1.64.1/32', 7), ...right.slice(1)] })).not.toEqual([])
  expect(found({ pods }, { ipcache: [entry('10.1.64.1/32', 5, '172.18.0.9'), ...right.slice(1)] })).toHaveLength(1)
})
