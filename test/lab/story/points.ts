import { failover, local, sharing } from './affinity.ts'
import { balance } from './balance.ts'
import { crash } from './crash.ts'
import { direct } from './direct.ts'
import { explain } from './explain.ts'
import { losing } from './losing.ts'
import { outside } from './outside.ts'
import type { Point, Story } from './story.ts'

/** The story's points in the order they are told. A point whose evidence nobody looks at any more is judged and done. */
const points: readonly ((story: Story) => Promise<string[]>)[] = [
  judged(balance),
  judged(local),
  judged(failover),
  judged(sharing),
  judged(outside),
  judged(direct),
  judged(explain),
  judged(crash),
  judged(losing),
]

export const titles: readonly string[] = [
  balance,
  local,
  failover,
  sharing,
  outside,
  direct,
  explain,
  crash,
  losing,
].map((point) => point.title)

/** Tells point `number` (1 to 9) and returns what does not hold. */
export async function tellPoint(story: Story, number: number): Promise<string[]> {
  const tell = points[number - 1]
  if (tell === undefined) throw new RangeError(`the story has ${String(points.length)} points, not ${String(number)}`)
  story.say(`\n${String(number)}. ${titles[number - 1] ?? ''}\n`)
  return tell(story)
}

function judged<Evidence>(point: Point<Evidence>): (story: Story) => Promise<string[]> {
  return async (story) => point.violations(await point.tell(story))
}
