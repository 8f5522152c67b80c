import { describe, expect, test } from 'vitest'
import { MOST_CLUSTERS, allHosts, controlPlane, hostId, topologyFor } from '../../lab/topology.ts'
import { podDevice } from '../../lab/network.ts'

const all = topologyFor({ clusters: MOST_CLUSTERS })

/** [first, last] of a CIDR, as numbers. */
function range(cidr: string): [number, number] {
  const [address = '', bits = '32'] = cidr.split('/')
  const first = address.split('.').reduce((value, byte) => value * 256 + Number(byte), 0)
  return [first, first + 2 ** (32 - Number(bits)) - 1]
}

const within = (inner: string, outer: string): boolean => {
  const [[from, to], [first, last]] = [range(inner), range(outer)]
  return from >= first && to <= last
}

describe('the address plan', () => {
  test('no two ranges of any two clusters, nor the segment, have an address in common', () => {
    const ranges = all.clusters.flatMap((cluster) => [cluster.podCidr, cluster.serviceCidr, cluster.loadBalancerCidr])
    const sorted = [all.segment, ...ranges].map(range).sort(([a], [b]) => a - b)
    sorted.slice(1).forEach(([first], index) => {
      expect(first).toBeGreaterThan(sorted[index]![1])
    })
  })

  test('every host is where its cluster and its node say', () => {
    for (const cluster of all.clusters) {
      expect(controlPlane(cluster).name).toBe(`${cluster.name}-control-plane`)
      for (const node of cluster.nodes) {
        expect(within(node.ip, all.segment)).toBe(true)
        expect(within(node.podCidr, cluster.podCidr)).toBe(true)
      }
      for (const pod of cluster.pods) {
        const node = cluster.nodes.find(({ name }) => name === pod.node)
        expect(within(pod.ip, node?.podCidr ?? '')).toBe(true)
      }
    }
  })

  test('ids, addresses, and devices on one node are unique', () => {
    const hosts = allHosts(all)
    const pods = all.clusters.flatMap((cluster) => cluster.pods)
    const unique = (values: readonly (string | number)[]): void => {
      expect(new Set(values).size).toBe(values.length)
    }
    unique(hosts.map(hostId))
    unique(hosts.map(({ ip }) => ip))
    unique(all.clusters.map(({ id }) => id))
    unique(pods.map((pod) => `${pod.node} ${podDevice(pod)}`))
    unique(pods.filter((pod) => pod.serves).map(({ name }) => name))
  })

  test('fewer clusters are the first ones, unchanged', () => {
    expect(topologyFor().clusters.map(({ name }) => name)).toEqual(['west', 'east'])
    for (let clusters = 2; clusters <= MOST_CLUSTERS; clusters++)
      expect(topologyFor({ clusters }).clusters).toEqual(all.clusters.slice(0, clusters))
  })
})
