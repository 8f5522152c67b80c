import type { ExplainedBackend } from './explain.ts'
import type { Point, Story } from './story.ts'
import { onlyAnswers } from './crash.ts'
import { curl100, differs, parseCounts, podIps, podNames, podsIn, reset, settled, servers, totalOf } from './webpod.ts'
import { east, west, type Counts } from './webpod.ts'

const NODE = 'west-control-plane'
const EXPLAIN = `lab exec ${NODE} -- weft explain service default/webpod`
/** Longest time in which dead pods may still get connections, with probes every two seconds that wait for one. */
const LEFT_WITHIN_MS = 10_000

export interface LosingEvidence {
  /** HTTP statuses of the requests that ran while east's etcd was gone and its pods answered. */
  readonly silent: Counts
  /** Who answered then, and what explain said. */
  readonly whileSilent: Counts
  readonly explainedSilent: string
  /** How long it took to leave the pods of east when they were dead too, and what explain said then. */
  readonly leftAfterMs: number
  readonly dead: readonly ExplainedBackend[]
  readonly whileDead: Counts
  readonly back: Counts
}

/** Point 9: first the control plane of east goes, then its pods; then all of it comes back. */
export const losing: Point<LosingEvidence> = {
  title: 'losing east: its etcd is gone and its pods answer on; its pods die and are left in seconds; it comes back',
  async tell(story) {
    await reset(story)
    await answering(story)
    const loop = `sh -c 'while :; do curl -s -o /dev/null -w "%{http_code}\\n" --connect-timeout 1 -m 3 webpod; done'`
    const requests = story.background(`lab exec west/curl-pod -- ${loop}`, 'losing-requests')
    try {
      await story.must('lab kill --of etcd east-control-plane')
      await story.until('west notices the silence', async () =>
        (await story.quietly(`lab exec ${NODE} -- weft status -o json || true`)).includes('cluster-unreachable'),
      )
      const explainedSilent = await story.must(EXPLAIN)
      const whileSilent = await curl100(story, west)
      await requests.stop()
      const silent = parseCounts(await story.must(`sort ${requests.file} | uniq -c`))
      const since = performance.now()
      await story.must(`lab kill ${servers(east).join(' ')}`)
      await settled(story, west, podIps(west))
      const leftAfterMs = performance.now() - since
      await story.must(EXPLAIN)
      const { frontends } = JSON.parse(await story.quietly(`${EXPLAIN} -o json`)) as {
        frontends: { backends: ExplainedBackend[] }[]
      }
      const whileDead = await curl100(story, west)
      return {
        ...{ silent, whileSilent, explainedSilent, leftAfterMs, whileDead },
        dead: (frontends[0]?.backends ?? []).filter(({ cluster }) => cluster === 'east'),
        back: await returned(story),
      }
    } finally {
      await requests.stop()
      // Whatever did not hold above: the lab is left as it was found.
      await story.quietly('lab start --of etcd east-control-plane')
    }
  },
  violations: (seen) => [
    ...onlyAnswers('while the etcd of east was gone', seen.silent),
    ...differs('who answered while the etcd of east was gone', podsIn(seen.whileSilent), podNames(west, east)),
    ...(seen.explainedSilent.includes('its pods answer this node')
      ? []
      : ['explain did not say why east is used though its control plane is silent']),
    ...(seen.leftAfterMs <= LEFT_WITHIN_MS ? [] : [`it took ${seen.leftAfterMs.toFixed()} ms to leave dead pods`]),
    ...differs(
      'why east is not used',
      seen.dead.map(({ reason }) => reason),
      ['unhealthy', 'unhealthy'],
    ),
    ...(totalOf(seen.whileDead) === 100 ? [] : ['not all requests were answered once the dead pods were left']),
    ...differs('who answered when east was back', podsIn(seen.back), podNames(west, east)),
  ],
}

/** Waits until the agents' own connections have shown what the pods of east do. */
async function answering(story: Story): Promise<void> {
  await story.until(`the pods of east answer ${NODE}`, async () => {
    const { stdout } = await story.quiet(`lab logs ${NODE} | grep 'probes say' | tail -n 1`)
    return stdout.includes('"answers":true')
  })
}

async function returned(story: Story): Promise<Counts> {
  await story.must('lab start --of etcd east-control-plane')
  await story.must(`lab start ${servers(east).join(' ')}`)
  await settled(story, west, podIps(west, east))
  await story.until('east is heard again', async () => {
    const status = await story.quiet(`lab exec ${NODE} -- weft status -o json`)
    return !status.stdout.includes('cluster-unreachable')
  })
  return curl100(story, west)
}
