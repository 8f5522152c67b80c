import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Evidence, ProbeTarget } from '../../../../agent/sources/probes/evidence.ts'
import { ProbeBook } from '../../../../agent/sources/probes/book.ts'
import { formatReachKey, reachKey } from '../../../../agent/types/reach.ts'
import { serviceName } from '../../../../agent/types/service.ts'
import { ip, WEBPOD } from '../../desired/fixture.ts'

const SETTINGS = { intervalMs: 2000, timeoutMs: 1000, holdDownMs: 2000, maxPerSecond: 50 }

/** Backends that answer as told, asked as the book wants, in steps of 100 ms. */
class Bench {
  readonly book: ProbeBook
  readonly says = new Map<string, Evidence>()
  readonly asked: { at: number; name: string }[] = []
  readonly log: string[] = []
  now = 0

  constructor(settings: Partial<typeof SETTINGS> = {}, answeredBefore: ReadonlySet<number> = new Set()) {
    this.book = new ProbeBook({ ...SETTINGS, ...settings }, () => 0.5, answeredBefore)
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += 100) {
      for (const target of this.book.due(this.now)) {
        const name = `${target.cluster}/${target.address & 0xffff}`
        this.asked.push({ at: this.now, name })
        this.book.learn(target, this.says.get(name) ?? 'answers', this.now)
      }
      for (const { row, services } of this.book.verdicts(this.now)) {
        const dead = [...row.dead].map((key) => formatReachKey(key).replace(/^10\.\d+\.\d+\.|:8080$/g, ''))
        this.log.push(`${row.cluster} ${row.answers ? 'answers' : '-'} dead=${dead.join()} for=${[...services].join()}`)
      }
    }
  }

  asks(name: string): number {
    return this.asked.filter((each) => each.name === name).length
  }
}

const some = (cluster: string, count: number): ProbeTarget[] =>
  Array.from({ length: count }, (_, i) => ({
    cluster,
    address: ip(`10.1.${(i + 1) >> 8}.${(i + 1) & 255}`),
    port: 8080,
  }))

let bench: Bench

beforeEach(() => {
  bench = new Bench()
  bench.book.replace(WEBPOD, some('east', 2))
})

test('backends that answer: said once for the cluster, and asked at a slow rate', () => {
  bench.run(20_000)
  expect(bench.log).toEqual(['east answers dead= for='])
  expect(bench.asks('east/1')).toBeGreaterThanOrEqual(8)
  expect(bench.asks('east/1')).toBeLessThanOrEqual(12)
})

describe('a backend that stops answering', () => {
  test.each(['silent', 'refused'] as const)('%s: dead within two intervals, its service is told', (evidence) => {
    bench.run(5000)
    bench.says.set('east/1', evidence)
    const before = bench.now
    bench.run(2 * SETTINGS.intervalMs)
    expect(bench.log).toEqual(['east answers dead= for=', 'east answers dead=1 for=default/webpod'])
    expect(bench.now - before).toBeLessThanOrEqual(4000)
  })

  test('fails twice only: nothing is said', () => {
    bench.run(5000)
    bench.says.set('east/1', 'silent')
    const before = bench.asks('east/1')
    while (bench.asks('east/1') < before + 2) bench.run(100)
    bench.says.delete('east/1')
    bench.run(10_000)
    expect(bench.log).toEqual(['east answers dead= for='])
  })

  test('answers again: alive after the hold-down, within one and a half intervals more', () => {
    bench.run(5000)
    bench.says.set('east/1', 'refused')
    bench.run(10_000)
    bench.says.delete('east/1')
    bench.run(SETTINGS.holdDownMs)
    expect(bench.log.at(-1)).toBe('east answers dead=1 for=default/webpod')
    bench.run(3000)
    expect(bench.log.at(-1)).toBe('east answers dead= for=default/webpod')
  })

  test('comes and goes, for less than the hold-down each time: said once', () => {
    bench.run(5000)
    bench.says.set('east/1', 'refused')
    bench.run(5000)
    const said = [...bench.log]
    for (let i = 0; i < 10; i++) {
      bench.says.delete('east/1')
      bench.run(1500)
      bench.says.set('east/1', 'refused')
      bench.run(1500)
    }
    expect(bench.log).toEqual(said)
    bench.says.delete('east/1')
    bench.run(SETTINGS.holdDownMs + 3000)
    expect(bench.log.slice(said.length)).toEqual(['east answers dead= for=default/webpod'])
  })

  test('without a hold-down: alive with the first answer', () => {
    bench = new Bench({ holdDownMs: 0 })
    bench.book.replace(WEBPOD, some('east', 2))
    bench.run(5000)
    bench.says.set('east/1', 'refused')
    bench.run(10_000)
    bench.says.delete('east/1')
    const before = bench.asks('east/1')
    while (bench.asks('east/1') === before) bench.run(100)
    expect(bench.log.at(-1)).toBe('east answers dead= for=default/webpod')
  })

  test('all of them: the cluster no longer answers', () => {
    bench.run(5000)
    for (const name of ['east/1', 'east/2']) bench.says.set(name, 'silent')
    bench.run(10_000)
    expect(bench.log.at(-1)).toMatch(/^east - dead=1,2|east - dead=2,1/)
  })

  test('gone from its services: no verdict is left', () => {
    bench.run(5000)
    bench.says.set('east/1', 'refused')
    bench.run(5000)
    bench.book.replace(WEBPOD, some('east', 2).slice(1))
    bench.run(100)
    expect(bench.log.at(-1)).toBe('east answers dead= for=default/webpod')
    bench.book.replace(WEBPOD, [])
    bench.run(100)
    expect(bench.log.at(-1)).toBe('east - dead= for=')
    expect(bench.book.size).toBe(0)
  })
})

test('silence where there never was an answer says nothing; a refusal does', () => {
  bench.says.set('east/1', 'silent')
  bench.says.set('east/2', 'refused')
  bench.run(10_000)
  expect(bench.log).toEqual(['east - dead=2 for=default/webpod'])
})

test('silence of one that answered an earlier process counts', () => {
  const [first, second] = some('east', 2)
  const before = new Set([reachKey(first!.address, first!.port)])
  bench = new Bench({}, before)
  bench.book.replace(WEBPOD, [first!, second!])
  bench.says.set('east/1', 'silent')
  bench.says.set('east/2', 'silent')
  bench.run(10_000)
  expect(bench.log).toEqual(['east - dead=1 for=default/webpod'])
  expect([...bench.book.answered()]).toEqual([...before])
})

test('a service that comes to a dead backend is told', () => {
  bench.run(5000)
  bench.says.set('east/1', 'refused')
  bench.run(5000)
  bench.book.replace(serviceName('default', 'other'), some('east', 1))
  bench.run(100)
  expect(bench.log.at(-1)).toBe('east answers dead=1 for=default/other')
})

test('many backends: a sample while all is well, all of them once one died or the control plane is silent', () => {
  bench.book.replace(WEBPOD, some('east', 60))
  bench.run(20_000)
  expect(bench.asked.length).toBeLessThanOrEqual(10 * 8 + 8)
  expect(new Set(bench.asked.map(({ name }) => name)).size).toBe(60)
  bench.book.silent('east', true)
  bench.asked.length = 0
  bench.run(2200)
  expect(new Set(bench.asked.map(({ name }) => name)).size).toBe(60)
  bench.book.silent('east', false)
  for (let i = 1; i <= 60; i++) bench.says.set(`east/${i}`, 'silent')
  bench.run(12_000)
  expect(bench.log.at(-1)!.split(',').length).toBe(60)
})

test('a cluster of thousands does not keep a small one from its turn', () => {
  bench = new Bench()
  bench.book.replace(WEBPOD, some('east', 5000))
  bench.book.replace(serviceName('default', 'other'), some('north', 2))
  bench.book.silent('east', true)
  bench.run(20_000)
  expect(bench.asks('north/1')).toBeGreaterThanOrEqual(8)
})

const evidence = fc.constantFrom<Evidence>('answers', 'refused', 'silent', 'nothing')

test('whatever is answered: the budget holds, and dead ⇔ three failures and no unbroken run of answers since', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 5 }), evidence), {
        maxLength: 150,
      }),
      (maxPerSecond, turns) => {
        const book = new ProbeBook({ ...SETTINGS, maxPerSecond }, () => 0.25)
        book.replace(WEBPOD, some('east', 6))
        book.silent('east', true)
        const failures = new Map<number, number>()
        const back = new Map<number, number>()
        const answered = new Set<number>()
        const sent: number[] = []
        let dead: ReadonlySet<number> = new Set()
        let now = 0
        for (const [ms, bad, how] of turns) {
          now += ms
          for (const target of book.due(now)) {
            sent.push(now)
            const key = target.address * 65536 + target.port
            const said = (target.address & 7) === bad ? how : 'answers'
            book.learn(target, said, now)
            if (said === 'answers') {
              answered.add(key)
              const since = back.get(key) ?? now
              back.set(key, since)
              if ((failures.get(key) ?? 0) < 3 || now - since >= SETTINGS.holdDownMs) failures.set(key, 0)
            } else if (said === 'refused' || (said === 'silent' && answered.has(key))) {
              failures.set(key, (failures.get(key) ?? 0) + 1)
              back.delete(key)
            }
          }
          for (const { row } of book.verdicts(now)) dead = row.dead
          const expected = [...failures].filter(([, count]) => count >= 3).map(([key]) => key)
          expect([...dead].sort()).toEqual(expected.sort())
          for (const window of [1000, 5000]) {
            const recent = sent.filter((at) => at > now - window).length
            expect(recent).toBeLessThanOrEqual(1 + maxPerSecond * (window / 1000 + 0.2))
          }
        }
      },
    ),
  )
})
