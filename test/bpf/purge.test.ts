import { describe, expect, it } from 'vitest'
import { checkAdmission, checkPurge, PurgeWorld } from './purge-cases.ts'

describe('purging flows', () => {
  it('deletes those of the given services and backends and no others', () => {
    expect(checkPurge).not.toThrow()
  })

  it('spares, of a service that is still there, the clients that it lets in', () => {
    expect(checkAdmission).not.toThrow()
  })

  it('does a hundred ids in one go, and then finds nothing', { timeout: 120_000 }, () => {
    const world = new PurgeWorld({ tcp: 1 << 17, other: 1 << 16 })
    try {
      world.fill(100_000, 50_000, 1000, 10_000)
      const before = world.size
      world.purge.purge({ backends: Array.from({ length: 100 }, (_, i) => i + 1) })
      world.purge.flush()
      expect(before - world.size).toBe(world.walks.reduce((a, b) => a + b))
      expect(world.walks).toEqual([1500, 0])
    } finally {
      world.close()
    }
  })
})
