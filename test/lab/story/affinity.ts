import type { Point, Story } from './story.ts'
import {
  curl100,
  differs,
  listed,
  podIps,
  podNames,
  podsIn,
  reset,
  settled,
  servers,
  totalOf,
  east,
  west,
  type Counts,
  type ListedBackend,
} from './webpod.ts'

/** Points 2 to 4: which cluster answers, and who decides it. */

async function annotateBoth(story: Story, change: string): Promise<void> {
  for (const cluster of [west, east]) await story.must(`lab annotate ${cluster.name} service/webpod ${change}`)
}

const all100 = (what: string, counts: Counts): string[] =>
  totalOf(counts) === 100 ? [] : [`${what}: ${String(totalOf(counts))} of 100 requests were answered`]

const preferredIps = (rows: readonly ListedBackend[]): string[] =>
  rows.filter((row) => row.preferred).map((row) => row.ip)
const allIps = (rows: readonly ListedBackend[]): string[] => rows.map((row) => row.ip)

export interface LocalEvidence {
  readonly west: Counts
  readonly east: Counts
  readonly listed: readonly ListedBackend[]
  /** What the table printed: every line that ends in `(preferred)`. */
  readonly marked: readonly string[]
}

/** Point 2: each cluster keeps to itself. */
export const local: Point<LocalEvidence> = {
  title: 'affinity local on both sides: each cluster answers for itself',
  async tell(story) {
    await reset(story)
    await annotateBoth(story, 'service.cilium.io/affinity=local')
    for (const cluster of [west, east]) await settled(story, cluster, podIps(cluster))
    const table = await story.must('lab exec west-control-plane -- weft service list --clustermesh-affinity')
    const marked = [...table.matchAll(/=> (\S+):80\/TCP \(active\) \(preferred\)/g)].map((match) => match[1] ?? '')
    return {
      marked,
      listed: await listed(story, 'west-control-plane'),
      west: await curl100(story, west),
      east: await curl100(story, east),
    }
  },
  violations: (seen) => [
    ...differs('who answered in west', podsIn(seen.west), podNames(west)),
    ...differs('who answered in east', podsIn(seen.east), podNames(east)),
    ...all100('west', seen.west),
    ...all100('east', seen.east),
    ...differs('backends listed', allIps(seen.listed), podIps(west, east)),
    ...differs('backends preferred', preferredIps(seen.listed), podIps(west)),
    ...differs('lines marked (preferred)', seen.marked, podIps(west)),
  ],
}

export interface FailoverEvidence {
  readonly gone: Counts
  readonly back: Counts
}

/** Point 3: the local pods go and come back. */
export const failover: Point<FailoverEvidence> = {
  title: 'local pods gone: east answers; they come back: west again',
  async tell(story) {
    await reset(story)
    await annotateBoth(story, 'service.cilium.io/affinity=local')
    await settled(story, west, podIps(west))
    await story.must(`lab stop ${servers(west).join(' ')}`)
    await settled(story, west, podIps(east))
    const gone = await curl100(story, west)
    await story.must(`lab start ${servers(west).join(' ')}`)
    await settled(story, west, podIps(west))
    return { gone, back: await curl100(story, west) }
  },
  violations: (seen) => [
    ...differs('who answered without local pods', podsIn(seen.gone), podNames(east)),
    ...all100('without local pods', seen.gone),
    ...differs('who answered when they were back', podsIn(seen.back), podNames(west)),
    ...all100('when they were back', seen.back),
  ],
}

export interface SharingEvidence {
  readonly remote: Counts
  readonly remoteListed: readonly ListedBackend[]
  readonly eastAfter: readonly ListedBackend[]
  readonly westAfter: readonly ListedBackend[]
}

/** Point 4: the other cluster first; then a cluster that takes and does not give. */
export const sharing: Point<SharingEvidence> = {
  title: 'affinity remote; then shared "false" in west: east no longer lists the pods of west',
  async tell(story) {
    await reset(story)
    await annotateBoth(story, 'service.cilium.io/affinity=remote')
    await settled(story, west, podIps(east))
    await settled(story, east, podIps(west))
    await story.must('lab exec west-control-plane -- weft service list --clustermesh-affinity')
    const remoteListed = await listed(story, 'west-control-plane')
    const remote = await curl100(story, west)
    await story.must('lab annotate west service/webpod service.cilium.io/shared=false')
    await settled(story, east, podIps(east))
    await story.must('lab exec east-control-plane -- weft service list --clustermesh-affinity')
    await story.must('lab exec west-control-plane -- weft service list --clustermesh-affinity')
    const [eastAfter, westAfter] = [
      await listed(story, 'east-control-plane'),
      await listed(story, 'west-control-plane'),
    ]
    return { remote, remoteListed, eastAfter, westAfter }
  },
  violations: (seen) => [
    ...differs('who answered with affinity remote', podsIn(seen.remote), podNames(east)),
    ...all100('with affinity remote', seen.remote),
    ...differs('preferred in west with affinity remote', preferredIps(seen.remoteListed), podIps(east)),
    ...differs('what east lists when west does not share', allIps(seen.eastAfter), podIps(east)),
    ...differs('what west lists when it does not share', allIps(seen.westAfter), podIps(west, east)),
  ],
}
