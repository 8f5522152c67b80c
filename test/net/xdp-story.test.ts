import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Lab } from '../lab/cli.ts'
import { crash } from '../lab/story/crash.ts'
import { direct } from '../lab/story/direct.ts'
import { outside } from '../lab/story/outside.ts'
import { Story, type Point } from '../lab/story/story.ts'

const POINT_TIMEOUT_MS = 180_000

describe('the story under native XDP, on a lab of its own', () => {
  const lab = new Lab(`xdp-${String(process.pid)}`)

  beforeAll(async () => {
    await lab.run(['up', '--set', 'loadBalancer.acceleration=native'])
  }, POINT_TIMEOUT_MS)
  afterAll(async () => {
    await lab.run(['down'])
  })

  async function told<Evidence>(point: Point<Evidence>): Promise<Evidence> {
    let transcript = ''
    const evidence = await point.tell(new Story(lab, (text) => (transcript += text)))
    expect(point.violations(evidence), transcript).toEqual([])
    return evidence
  }

  test('every node has it', async () => {
    for (const node of ['west-control-plane', 'west-worker', 'east-control-plane', 'east-worker'])
      expect(await lab.exec(node, ['weft', 'status', '--verbose'])).toMatch(/XDP Acceleration: +Native/)
  })

  test('5: the client enters by NodePort and LoadBalancer address', { timeout: POINT_TIMEOUT_MS }, async () => {
    expect(await told(outside)).toHaveLength(4)
  })

  test('6: pods of two clusters see each other unchanged', { timeout: POINT_TIMEOUT_MS }, async () => {
    expect(await told(direct)).toEqual({ ttl: 62, peer: '10.0.0.144' })
  })

  test('8: nothing is lost while the agent is killed and restarted', { timeout: POINT_TIMEOUT_MS }, async () => {
    expect([...(await told(crash)).fromClient.keys()]).toEqual(['200'])
  })
})
