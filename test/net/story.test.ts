import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Lab } from '../lab/cli.ts'
import { failover, local, sharing } from '../lab/story/affinity.ts'
import { balance } from '../lab/story/balance.ts'
import { crash } from '../lab/story/crash.ts'
import { direct } from '../lab/story/direct.ts'
import { explain } from '../lab/story/explain.ts'
import { losing } from '../lab/story/losing.ts'
import { outside } from '../lab/story/outside.ts'
import { Story, type Point } from '../lab/story/story.ts'
import { totalOf } from '../lab/story/webpod.ts'

const POINT_TIMEOUT_MS = 120_000

describe('the story of the guide, on a lab of its own', () => {
  const lab = new Lab(`story-${String(process.pid)}`)
  let transcript = ''

  beforeAll(async () => {
    await lab.run(['up'])
  }, POINT_TIMEOUT_MS)
  afterAll(async () => {
    await lab.run(['down'])
  })

  /** Tells a point; when it does not hold, the failure shows what the terminal would have shown. */
  async function told<Evidence>(point: Point<Evidence>): Promise<Evidence> {
    transcript = ''
    const evidence = await point.tell(new Story(lab, (text) => (transcript += text)))
    expect(point.violations(evidence), transcript).toEqual([])
    return evidence
  }

  test('1: four pods of two clusters answer one name', { timeout: POINT_TIMEOUT_MS }, async () => {
    const counts = await told(balance)
    expect(counts.size).toBe(4)
    expect(totalOf(counts)).toBe(100)
  })

  test('2: with affinity local each cluster answers for itself', { timeout: POINT_TIMEOUT_MS }, async () => {
    const seen = await told(local)
    expect([...seen.west.keys()].every((line) => /rcp4r|jjpz9/.test(line))).toBe(true)
    expect(seen.marked).toHaveLength(2)
  })

  test('3: east answers while the pods of west are gone', { timeout: POINT_TIMEOUT_MS }, async () => {
    const seen = await told(failover)
    expect([totalOf(seen.gone), totalOf(seen.back)]).toEqual([100, 100])
  })

  test(
    '4: affinity remote turns to the other cluster; a cluster that does not share is not listed there',
    {
      timeout: POINT_TIMEOUT_MS,
    },
    async () => {
      const seen = await told(sharing)
      expect(seen.eastAfter.map((row) => row.ip)).toEqual(['10.1.0.190', '10.1.1.41'])
      expect(seen.westAfter).toHaveLength(4)
    },
  )

  test(
    '5: the client enters by NodePort and LoadBalancer address on every west node',
    { timeout: POINT_TIMEOUT_MS },
    async () => {
      const entrances = await told(outside)
      expect(entrances.map(({ algorithm, node }) => `${algorithm} ${node}`)).toEqual([
        'random west-control-plane',
        'random west-worker',
        'maglev west-control-plane',
        'maglev west-worker',
      ])
    },
  )

  test(
    '6: pods of two clusters see each other unchanged, two routers apart',
    { timeout: POINT_TIMEOUT_MS },
    async () => {
      expect(await told(direct)).toEqual({ ttl: 62, peer: '10.0.0.144' })
    },
  )

  test(
    '7: explain has one line with a reason for every backend of both clusters',
    { timeout: POINT_TIMEOUT_MS },
    async () => {
      const { backends } = await told(explain)
      expect(backends.map((row) => `${row.cluster} ${row.reason}`).sort()).toEqual([
        'east affinity-hides',
        'east affinity-hides',
        'west selected',
        'west selected',
      ])
    },
  )

  test('8: nothing is lost while the agent is killed and restarted', { timeout: POINT_TIMEOUT_MS }, async () => {
    const seen = await told(crash)
    expect([...seen.fromPod.keys()]).toEqual(['200'])
    expect([...seen.fromClient.keys()]).toEqual(['200'])
  })

  test(
    '9: east is used while its pods answer, left in seconds when they are dead, and rejoined',
    { timeout: 2 * POINT_TIMEOUT_MS },
    async () => {
      const seen = await told(losing)
      expect([...seen.silent.keys()]).toEqual(['200'])
      expect(seen.leftAfterMs).toBeLessThan(10_000)
      expect(seen.dead.map(({ reason }) => reason)).toEqual(['unhealthy', 'unhealthy'])
      expect(seen.back.size).toBe(4)
    },
  )
})
