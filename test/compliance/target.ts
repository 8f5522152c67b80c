import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Target } from '../../agent/reconcile/target.ts'

/** An empty target of one kind, and what the suite needs to use it without knowing what it holds. */
export interface TargetSubject<V> {
  readonly target: Target<V>
  /** The nth entry; different keys for different n. */
  sample(n: number): readonly [key: string, value: V]
  /** Another value for the key of `sample(n)`. */
  changed(n: number): V
  /** The same place through a new object, as after a restart. */
  reopen(): Target<V> | Promise<Target<V>>
  /** How many of the samples have room; of no meaning for a target without limit. */
  readonly capacity?: number
  close(): void | Promise<void>
}

/** What every target promises (agent/reconcile/target.ts), as tests. One without `limit` has room for everything. */
export function targetCompliance<V>(
  name: string,
  make: () => TargetSubject<V> | Promise<TargetSubject<V>>,
  { limit = true }: { readonly limit?: boolean } = {},
): void {
  describe(`target contract: ${name}`, () => {
    let subject: TargetSubject<V>
    beforeEach(async () => {
      subject = await make()
    })
    afterEach(async () => {
      await subject.close()
    })

    const samples = (count: number): (readonly [string, V])[] =>
      Array.from({ length: count }, (_, n) => subject.sample(n))

    async function holds(expected: readonly (readonly [string, V])[]): Promise<void> {
      for (const target of [subject.target, await subject.reopen()]) {
        const found = await target.load()
        expect([...found.keys()].sort()).toEqual(expected.map(([key]) => key).sort())
        for (const [key, value] of expected) expect(target.equals(found.get(key)!, value), key).toBe(true)
      }
    }

    async function set(batch: readonly (readonly [string, V])[]): Promise<void> {
      expect(await subject.target.set(batch)).toEqual(new Map())
    }

    test('is empty at first', () => holds([]))

    test('what is set is there, also for another object', async () => {
      await subject.target.load()
      await set(samples(3))
      await holds(samples(3))
    })

    test('samples are what the suite takes them for', () => {
      expect(new Set(samples(20).map(([key]) => key)).size).toBe(20)
      for (let n = 0; n < 3; n++) expect(subject.target.equals(subject.sample(n)[1], subject.changed(n))).toBe(false)
      expect(subject.target.equals(subject.sample(1)[1], subject.sample(1)[1])).toBe(true)
    })

    test('setting twice is setting once', async () => {
      await subject.target.load()
      await set(samples(3))
      await set(samples(3))
      await holds(samples(3))
    })

    test('setting replaces', async () => {
      await subject.target.load()
      await set(samples(3))
      const [key] = subject.sample(1)
      await set([[key, subject.changed(1)]])
      await holds([subject.sample(0), [key, subject.changed(1)], subject.sample(2)])
    })

    test('deleting removes that key only', async () => {
      await subject.target.load()
      await set(samples(3))
      expect(await subject.target.delete([subject.sample(1)[0]])).toEqual(new Map())
      await holds([subject.sample(0), subject.sample(2)])
    })

    test('deleting what is not there succeeds', async () => {
      await subject.target.load()
      const keys = samples(2).map(([key]) => key)
      expect(await subject.target.delete(keys)).toEqual(new Map())
      await set(samples(2))
      expect(await subject.target.delete(keys)).toEqual(new Map())
      expect(await subject.target.delete(keys)).toEqual(new Map())
      await holds([])
    })

    test('a deleted key can be set again', async () => {
      await subject.target.load()
      for (let round = 0; round < 3; round++) {
        await set(samples(2))
        await subject.target.delete(samples(2).map(([key]) => key))
      }
      await set(samples(2))
      await holds(samples(2))
    })

    test('a new object takes over: it changes and deletes what it finds', async () => {
      await subject.target.load()
      await set(samples(3))
      const heir = await subject.reopen()
      await heir.load()
      const [key] = subject.sample(0)
      expect(await heir.set([[key, subject.changed(0)]])).toEqual(new Map())
      expect(await heir.delete([subject.sample(2)[0]])).toEqual(new Map())
      await holds([[key, subject.changed(0)], subject.sample(1)])
    })

    test('empty batches do nothing', async () => {
      await subject.target.load()
      await set(samples(1))
      await set([])
      expect(await subject.target.delete([])).toEqual(new Map())
      await holds(samples(1))
    })

    if (!limit) return
    test('no room: the entries without room fail by key, all others are there and stay', async () => {
      const fitting = subject.capacity
      if (fitting === undefined) throw new Error('a target with a limit has to say which')
      await subject.target.load()
      await set(samples(fitting))
      const failures = await subject.target.set([subject.sample(fitting)])
      expect([...failures.keys()]).toEqual([subject.sample(fitting)[0]])
      expect(failures.get(subject.sample(fitting)[0])).toBeInstanceOf(Error)
      await holds(samples(fitting))
      await subject.target.delete([subject.sample(0)[0]])
      await holds(samples(fitting).slice(1))
    })
  })
}
