import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BackendIndex } from '../../../agent/targets/lb/index-table.ts'

test('finds what was inserted and not removed, as a Map does', () => {
  const name = fc.record({ address: fc.integer({ min: 0, max: 3 }), rest: fc.integer({ min: 1, max: 4 }) })
  const op = fc.record({ insert: fc.boolean(), name })
  fc.assert(
    fc.property(fc.array(op, { maxLength: 200 }), (ops) => {
      const index = new BackendIndex(16)
      const model = new Map<string, number>()
      const free = Array.from({ length: 16 }, (_, i) => i + 1)
      for (const { insert, name: each } of ops) {
        const key = `${each.address}/${each.rest}`
        const id = model.get(key)
        expect(index.find(each.address, each.rest)).toBe(id ?? 0)
        if (insert && id === undefined) {
          const fresh = free.pop()!
          index.insert(fresh, each.address, each.rest)
          model.set(key, fresh)
        } else if (!insert && id !== undefined) {
          index.remove(id)
          model.delete(key)
          free.push(id)
        }
      }
      for (const [key, id] of model) {
        const [address, rest] = key.split('/').map(Number)
        expect(index.find(address!, rest!)).toBe(id)
        expect([index.addressOf(id), index.restOf(id)]).toEqual([address, rest])
      }
    }),
  )
})
