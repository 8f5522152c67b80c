import { readFileSync } from 'node:fs'
import path from 'node:path'
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

  test('a lab that runs takes other settings, once', { timeout: POINT_TIMEOUT_MS }, async () => {
    const host = 'west-worker'
    const settings = ['--set', 'loadBalancer.mode=dsr', '--set', 'loadBalancer.algorithm=maglev']
    await lab.run(['up', ...settings])
    const status = await lab.exec(host, ['weft', 'status', '--verbose'])
    expect(status).toMatch(/^ +Mode: +DSR$/m)
    expect(status).toMatch(/^ +DSR Dispatch Mode: +Geneve$/m)
    expect(status).toMatch(/^ +Backend Selection: +Maglev \(Table Size: 16381\)$/m)
    expect(status).toMatch(/^ +Session Affinity: +Enabled$/m)
    expect(status).toMatch(/^ +XDP Acceleration: +Native$/m)
    // Nothing new: nobody is restarted.
    const pid = (): string => readFileSync(path.join(lab.paths.state, host, 'agent.pid'), 'utf8')
    const before = pid()
    await lab.run(['up', ...settings])
    expect(pid()).toBe(before)
  })
})
