import { describe, expect, test } from 'vitest'
import { canaryKey, clusterConfigKey, isClusterName, resourcePrefix } from '../../../../agent/types/wire/keys.ts'

describe('keys', () => {
  test('are where Cilium puts them', () => {
    expect(clusterConfigKey('east')).toBe('cilium/cluster-config/east')
    expect(resourcePrefix('nodes', 'east', false)).toBe('cilium/state/nodes/v1/east/')
    expect(resourcePrefix('services', 'east', false)).toBe('cilium/state/services/v1/east/')
    expect(resourcePrefix('endpoints', 'east', false)).toBe('cilium/state/ip/v1/default/')
    expect(resourcePrefix('identities', 'east', false)).toBe('cilium/state/identities/v1/id/')
    expect(resourcePrefix('nodes', 'east', true)).toBe('cilium/cache/nodes/v1/east/')
    expect(resourcePrefix('services', 'east', true)).toBe('cilium/cache/services/v1/east/')
    expect(resourcePrefix('endpoints', 'east', true)).toBe('cilium/cache/ip/v1/east/')
    expect(resourcePrefix('identities', 'east', true)).toBe('cilium/cache/identities/v1/east/id/')
    expect(canaryKey('endpoints', 'east')).toBe('cilium/synced/east/cilium/state/ip/v1')
    expect(canaryKey('identities', 'east')).toBe('cilium/synced/east/cilium/state/identities/v1')
    expect(canaryKey('serviceexports', 'east')).toBe('cilium/synced/east/cilium/state/serviceexports/v1')
    expect(canaryKey('nodes', 'east', true)).toBe('cilium/synced/east/cilium/cache/nodes/v1')
  })

  test.each(['east', 'a', '0', 'a-b', 'x'.repeat(32)])('%s names a cluster', (name) =>
    expect(isClusterName(name)).toBe(true),
  )
  test.each(['', 'a/b', '-a', 'a-', 'A', 'a.b', 'x'.repeat(33), '../x'])('%s does not', (name) =>
    expect(isClusterName(name)).toBe(false),
  )
})
