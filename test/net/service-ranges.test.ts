import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import type { Stream } from './lab-clusters-fixture.ts'
import { objects, OutsideLab, UP_TIMEOUT_MS } from './outside-fixture.ts'

/** Who may ask a service, and what becomes of those who might and may no longer. */

describe('source ranges of a service', { timeout: 180_000 }, () => {
  const mesh = new OutsideLab('ranges')
  const { west, east, first, second } = mesh

  beforeAll(() => mesh.up(), UP_TIMEOUT_MS)
  afterAll(() => mesh.down())

  test('a change of source ranges ends the connections of clients that it keeps out, and no others', async () => {
    const vip = '172.16.1.208'
    const other = 'east-worker'
    const otherIp = east.nodes.find(({ name }) => name === other)!.ip
    const pods = [mesh.podOn(first), mesh.podOn(second)]
    const asks = async (
      ranges: readonly string[],
      annotations: Readonly<Record<string, string>> = {},
    ): Promise<void> => {
      await mesh.apply(west, objects({ name: 'ranges', vip, annotations, spec: { loadBalancerSourceRanges: ranges } }))
      await mesh.chooses(first, 'ranges', `${vip}:80/TCP`, pods)
    }
    const asked = async (host: string): Promise<boolean> =>
      (await mesh.lab.try(['exec', host, '--', 'curl', '-s', '-o', '/dev/null', '-m', '2', vip])).code === 0
    await asks(['172.18.0.0/24'])
    await mesh.enterBy(first, vip)
    await mesh.on(other, `ip route replace ${vip} via ${first.ip}`)
    // Several, so that both pods have some: an admitted one that lost its flow would mostly meet the wrong pod.
    const streams = {
      client: [1, 2, 3].map(() => mesh.stream(vip)),
      [other]: [1, 2, 3].map(() => mesh.stream(vip, other)),
    }
    const all = (host: keyof typeof streams): Stream[] => streams[host]
    const goOn = async (host: keyof typeof streams): Promise<void> => {
      for (const stream of all(host)) await stream.more(5)
    }
    const counts = (host: keyof typeof streams): Promise<number[]> =>
      Promise.all(all(host).map((stream) => stream.count()))
    /** While the connections of `host` go on, those of `silent` do not. */
    const ended = (silent: keyof typeof streams, host: keyof typeof streams): Promise<unknown> =>
      eventually(
        async () => {
          const before = await counts(silent)
          await goOn(host)
          expect(await counts(silent)).toEqual(before)
        },
        { what: `the connections of ${silent} are at an end`, timeoutMs: 60_000 },
      )
    try {
      for (const host of ['client', other] as const) await goOn(host)
      await asks([`${otherIp}/32`])
      await eventually(async () => expect(await asked('client')).toBe(false))
      await ended('client', other)
      expect(await asked(other)).toBe(true)
      expect(await mesh.on(first.name, 'weft explain service default/ranges')).toContain(`only ${otherIp}/32`)
      expect(await mesh.on(first.name, 'weft bpf metrics list')).toMatch(/not-in-source-range/i)

      // The same list, of those who are kept out.
      await asks([`${otherIp}/32`], { 'service.cilium.io/src-ranges-policy': 'deny' })
      await eventually(async () => expect(await asked(other)).toBe(false))
      expect(await asked('client')).toBe(true)
      expect(await mesh.on(first.name, 'weft explain service default/ranges')).toContain(`all but ${otherIp}/32`)
      expect(await mesh.on(first.name, 'weft bpf lb list --frontends')).toMatch(
        /172\.16\.1\.208:80\/TCP .*check source-range, deny/,
      )
      streams.client = [mesh.stream(vip)]
      await ended(other, 'client')
    } finally {
      const seen = await Promise.all([...all('client'), ...all(other)].map((stream) => stream.stop()))
      await mesh.on(other, `ip route del ${vip}`)
      expect(seen.map(({ gap }) => gap)).toEqual(seen.map(() => false))
    }
  })
})
