import type { Point } from './story.ts'
import { reset } from './webpod.ts'

export interface DirectEvidence {
  readonly ttl: number
  /** The address the other cluster's pod saw. */
  readonly peer: string
}

/** Point 6: pods of both clusters speak to each other as they are. */
export const direct: Point<DirectEvidence> = {
  title: 'pod to pod across clusters: the source address is kept, two routers on the way',
  async tell(story) {
    await reset(story)
    const ping = await story.must('lab exec west/curl-pod -- ping -c 1 -W 2 10.1.0.128')
    const answer = await story.must('lab exec west/curl-pod -- curl -s --connect-timeout 1 10.1.1.41')
    return { ttl: Number(/ttl=(\d+)/.exec(ping)?.[1] ?? 0), peer: /^RemoteAddr: (.*):\d+$/m.exec(answer)?.[1] ?? '' }
  },
  violations: ({ ttl, peer }) => [
    ...(ttl === 62 ? [] : [`ttl is ${String(ttl)}, not 62`]),
    ...(peer === '10.0.0.144' ? [] : [`the pod in east saw ${peer || 'nobody'}, not 10.0.0.144`]),
  ],
}
