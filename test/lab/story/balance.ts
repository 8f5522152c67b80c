import type { Point, Story } from './story.ts'
import { curlLoop, differs, podNames, podsIn, reset, totalOf, west, east, type Counts } from './webpod.ts'

/** Point 1: one name, four pods, two clusters. */
export const balance: Point<Counts> = {
  title: '100 requests from a west pod to the ClusterIP: the pods of both clusters answer',
  async tell(story: Story) {
    await reset(story)
    await story.must('lab exec west-control-plane -- weft service list --clustermesh-affinity')
    return curlLoop(story, west)
  },
  violations: (counts) => [
    ...differs('who answered', podsIn(counts), podNames(west, east)),
    ...(totalOf(counts) === 100 ? [] : [`${String(totalOf(counts))} of 100 requests were answered`]),
  ],
}
