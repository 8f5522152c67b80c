import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KEYS_PER_LEASE, LeaseBook } from '../../../agent/targets/etcd/leases.ts'

test('a lease takes a thousand keys, then another has to be granted', () => {
  const book = new LeaseBook()
  expect(book.choose('key')).toBeUndefined()
  book.granted('1')
  for (let i = 0; i < KEYS_PER_LEASE; i++) {
    expect(book.choose(`key-${i}`)).toBe('1')
    book.attach(`key-${i}`, '1')
  }
  expect(book.choose('one more')).toBeUndefined()
  expect(book.choose('key-7')).toBe('1')
  book.detach('key-7')
  expect(book.choose('one more')).toBe('1')
})

test('a lost lease gives back its keys and is not used again', () => {
  const book = new LeaseBook()
  book.granted('1')
  book.attach('a', '1')
  book.attach('b', '1')
  expect(book.lost('1').sort()).toEqual(['a', 'b'])
  expect(book.choose('a')).toBeUndefined()
  expect(book.leases()).toEqual([])
})

test('a lease of somebody else is kept as long as a key hangs on it, and takes no new ones', () => {
  const book = new LeaseBook()
  book.attach('a', 'theirs')
  expect(book.leases()).toEqual(['theirs'])
  expect(book.choose('a')).toBe('theirs')
  expect(book.choose('b')).toBeUndefined()
  book.detach('a')
  expect(book.leases()).toEqual([])
})

test('keys and leases stay in step whatever happens', () => {
  const step = fc.tuple(
    fc.constantFrom('attach', 'detach', 'lost', 'granted'),
    fc.integer({ min: 0, max: 4 }),
    fc.integer({ min: 0, max: 3 }),
  )
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const book = new LeaseBook()
      const model = new Map<string, string>()
      for (const [what, k, l] of steps) {
        const key = `key-${k}`
        const lease = `lease-${l}`
        if (what === 'granted') book.granted(lease)
        else if (what === 'attach') {
          book.attach(key, lease)
          model.set(key, lease)
        } else if (what === 'detach') {
          book.detach(key)
          model.delete(key)
        } else {
          const gone = book.lost(lease).sort()
          expect(gone).toEqual(
            [...model]
              .filter(([, on]) => on === lease)
              .map(([each]) => each)
              .sort(),
          )
          for (const each of gone) model.delete(each)
        }
        for (let i = 0; i < 5; i++) expect(book.leaseOf(`key-${i}`)).toBe(model.get(`key-${i}`))
        for (const on of model.values()) expect(book.leases()).toContain(on)
      }
    }),
  )
})
