import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Pod } from '../../../agent/types/node.ts'
import { assignIdentities, identityLabels, identityText } from '../../../agent/desired/identities.ts'
import { podRow } from '../../rows.ts'

const pod = (labels: Record<string, string>): Pod =>
  podRow({ name: 'webpod-1', address: undefined, nodeName: 'west-worker', serviceAccount: 'web', labels })

describe('labels', () => {
  test('say what a pod is, not which replica', () => {
    const labels = identityLabels(
      pod({
        app: 'webpod',
        'app.kubernetes.io/name': 'web',
        'topology.kubernetes.io/zone': 'a',
        'pod-template-hash': '697b545f57',
        'controller-revision-hash': 'x',
        'statefulset.kubernetes.io/pod-name': 'webpod-1',
        'apps.kubernetes.io/pod-index': '1',
        'batch.kubernetes.io/controller-uid': 'u',
        'kubernetes.io/os': 'linux',
        'io.kubernetes.pod.namespace': 'spoofed',
        'io.cilium.k8s.policy.cluster': 'spoofed',
        'beta.kubernetes.io/arch': 'amd64',
        'failure-domain.beta.kubernetes.io/zone': 'a',
        'k8s.io/x': 'y',
      }),
      'west',
    )
    expect(labels).toEqual([
      'k8s:app=webpod',
      'k8s:app.kubernetes.io/name=web',
      'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=default',
      'k8s:io.cilium.k8s.policy.cluster=west',
      'k8s:io.cilium.k8s.policy.serviceaccount=web',
      'k8s:io.kubernetes.pod.namespace=default',
      'k8s:topology.kubernetes.io/zone=a',
    ])
  })

  test('are equal for replicas', () => {
    const [a, b] = ['x', 'y'].map((hash) => identityText(pod({ app: 'webpod', 'pod-template-hash': hash }), 'west'))
    expect(a).toBe(b)
  })
})

describe('numbers', () => {
  const texts = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), { maxLength: 40 })

  test('are unique, in the range of the cluster, and follow from the texts alone', () => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 255 }), (list, cluster) => {
        const assigned = assignIdentities(list, cluster)
        expect(new Set(assigned.values()).size).toBe(list.length)
        for (const id of assigned.values()) {
          expect(id).toBeGreaterThan(cluster * 65536)
          expect(id).toBeLessThan((cluster + 1) * 65536)
        }
        expect(assignIdentities([...list].reverse(), cluster)).toEqual(assigned)
      }),
    )
  })

  test('once given are kept, and those of sets that went away are not given to others', () => {
    fc.assert(
      fc.property(texts, texts, (before, after) => {
        const old = assignIdentities(before, 3)
        const now = assignIdentities(after, 3, old)
        for (const [text, id] of now) {
          if (old.has(text)) expect(id).toBe(old.get(text))
          else expect([...old.values()]).not.toContain(id)
        }
        expect(now.size).toBe(after.length)
      }),
    )
  })

  test('a taken place leads to the next free one', () => {
    const free = assignIdentities(['a'], 1).get('a')!
    const moved = assignIdentities(['a'], 1, new Map([['other', free]])).get('a')
    expect(moved).toBe(free === 131071 ? 65537 : free + 1)
  })

  test('a number outside the range is not kept', () => {
    expect(assignIdentities(['a'], 2, new Map([['a', 48291]])).get('a')).toBeGreaterThan(131072)
  })

  test('a full range leaves the rest without', () => {
    const existing = new Map(Array.from({ length: 65535 }, (_, i) => [`set ${i}`, 65537 + i] as const))
    expect(assignIdentities(['one more'], 1, existing).size).toBe(0)
  })

  test('a cluster in no mesh has the numbers from 256 on', () => {
    for (const id of assignIdentities(['a', 'b', 'c'], 0).values()) expect(id).toBeGreaterThanOrEqual(256)
  })
})
