import type { Revisions } from '../../../agent/sources/mesh/revisions.ts'
import { describe, expect, test } from 'vitest'
import { PrefixMirror } from '../../../agent/sources/mesh/etcd-mirror.ts'
import { AddressRevisions, TextRevisions } from '../../../agent/sources/mesh/revisions.ts'

const SIZE = 50_000
const tail = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`

describe.each<[string, () => Revisions]>([
  ['texts', () => new TextRevisions()],
  ['addresses', () => new AddressRevisions()],
])('%s that are drained', (_, known) => {
  test('each is reported gone once, a few in a turn', async () => {
    const gone = new Set<string>()
    let inTurn = 0
    let most = 0
    const mirror = new PrefixMirror(
      'cilium/state/ip/v1/default/',
      {
        put: () => expect.unreachable(),
        delete: (each) => {
          gone.add(each)
          most = Math.max(most, ++inTurn)
        },
      },
      'utf8',
      known(),
    )
    for (let i = 0; i < SIZE; i++) mirror.assume(tail(i))
    let over = false
    const turn = (): void => {
      inTurn = 0
      if (!over) setImmediate(turn)
    }
    turn()
    // Asked for twice, it is done once.
    await Promise.all([mirror.drain(), mirror.drain()])
    over = true
    expect(gone.size).toBe(SIZE)
    expect(mirror.size).toBe(0)
    expect(most).toBeLessThanOrEqual(1000)
  })
})
