import { expect, test } from 'vitest'
import { systemClock } from '../../../agent/lib/clock.ts'
import { backend, entry, frontend, groupOf, LbFixture } from './lb-fixture.ts'

test('10 000 frontends of 10 backends go in with one set, and come back by load', async () => {
  const make = (): [string, ReturnType<typeof frontend>][] =>
    Array.from({ length: 10_000 }, (_, n) =>
      entry(frontend(n, groupOf(Array.from({ length: 10 }, (_unused, b) => backend(n * 10 + b))))),
    )
  for (let run = 0; run < 5; run++) {
    const maps = new LbFixture({ services: 16384, slots: 1 << 20, backends: 262144 })
    try {
      const batch = make()
      const target = maps.target(systemClock)
      await target.load()
      const start = performance.now()
      const failures = await target.set(batch)
      const set = performance.now() - start
      expect(failures.size).toBe(0)
      const again = performance.now()
      await target.set(batch)
      const idle = performance.now() - again
      const other = maps.target(systemClock)
      const begin = performance.now()
      const loaded = await other.load()
      const load = performance.now() - begin
      expect(loaded.size).toBe(10_000)
      expect(batch.every(([id, wanted]) => target.equals(wanted, loaded.get(id)!))).toBe(true)
      process.stdout.write(
        `set ${set.toFixed(1)} ms, the same again ${idle.toFixed(1)} ms, load ${load.toFixed(1)} ms\n`,
      )
    } finally {
      maps.close()
    }
  }
})
