import { describe, expect, test } from 'vitest'
import { WireError } from '../../../../agent/types/wire/go-json.ts'
import { decodeIdentity, encodeIdentity } from '../../../../agent/types/wire/identity.ts'

describe('identities', () => {
  const webpod =
    'k8s:app=webpod;k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=default;k8s:io.cilium.k8s.policy.cluster=east;k8s:io.cilium.k8s.policy.serviceaccount=default;k8s:io.kubernetes.pod.namespace=default;'

  test('are byte for byte what peers write, whatever the order of the labels', () => {
    expect(encodeIdentity([...decodeIdentity(webpod)].reverse())).toBe(webpod)
  })

  test('are ordered by key, not by source', () => {
    expect(encodeIdentity(['k8s:b=1', 'z:a=2', 'a:c'])).toBe('z:a=2;k8s:b=1;a:c;')
  })

  test('without labels are refused', () => {
    expect(() => decodeIdentity(';;')).toThrow(WireError)
  })
})
