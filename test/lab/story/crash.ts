import { readFileSync } from 'node:fs'
import type { Background, Point, Story } from './story.ts'
import { parseCounts, podIps, reset, settled, east, west, type Counts } from './webpod.ts'

export interface CrashEvidence {
  /** HTTP statuses of the requests that ran all the time, from the pod and from the outside client. */
  readonly fromPod: Counts
  readonly fromClient: Counts
  /** The line numbers of the streams that stayed open all the time. */
  readonly podStream: readonly number[]
  readonly clientStream: readonly number[]
  /** `weft status` of the dead agent's node, and the maps read without it. */
  readonly statusCode: number
  readonly mapsWhileDead: string
  /** The kernel's ids of the node's pinned maps before the kill and after the restart. */
  readonly mapsBefore: string
  readonly mapsAfter: string
}

const NODE = 'west-control-plane'
/** How many more requests and lines must have come through before a phase of the crash counts as seen. */
const ENOUGH = { requests: 50, lines: 10 }

const linesIn = (file: string): string[] => readFileSync(file, 'utf8').split('\n').slice(0, -1)
const numbersIn = (file: string): number[] => linesIn(file).map((line) => Number(line.split(' ')[0]))

async function moreOf(story: Story, requests: readonly Background[], streams: readonly Background[]): Promise<void> {
  const wanted = [
    ...requests.map(({ file }) => ({ file, count: linesIn(file).length + ENOUGH.requests })),
    ...streams.map(({ file }) => ({ file, count: linesIn(file).length + ENOUGH.lines })),
  ]
  await story.until('more requests and more of the streams', () =>
    wanted.every(({ file, count }) => linesIn(file).length >= count),
  )
}

const pinnedIds = (story: Story): Promise<string> =>
  story.must(
    `lab exec ${NODE} -- sh -c 'find $WEFT_BPF_ROOT -type f -name "w_*" | sort | while read map; do bpftool map show pinned $map; done' | grep -oE "^[0-9]+: [a-z_]+ +name [a-z0-9_]+"`,
  )

/** Point 8: the agent dies under load and comes back; packets do not notice. */
export const crash: Point<CrashEvidence> = {
  title: 'the agent is killed under load, and restarted: nothing is lost',
  async tell(story) {
    await reset(story)
    await story.must('lab apply west test/lab/scenarios/webpod-outside.yaml')
    await settled(story, west, podIps(west, east), 3)
    const mapsBefore = await pinnedIds(story)
    const loop = (url: string): string =>
      `sh -c 'while :; do curl -s -o /dev/null -w "%{http_code}\\n" --connect-timeout 1 -m 3 ${url}; done'`
    const requests = [
      story.background(`lab exec west/curl-pod -- ${loop('webpod')}`, 'pod-requests'),
      story.background(`lab exec client -- ${loop('172.18.0.2:30080')}`, 'client-requests'),
    ] as const
    const streams = [
      story.background(`lab exec west/curl-pod -- curl -sN webpod/stream`, 'pod-stream'),
      story.background(`lab exec client -- curl -sN 172.18.0.2:30080/stream`, 'client-stream'),
    ] as const
    try {
      await moreOf(story, requests, streams)
      await story.must(`lab kill ${NODE}`)
      const { code: statusCode } = await story.sh(`lab exec ${NODE} -- weft status`)
      const mapsWhileDead = await story.must(`lab exec ${NODE} -- weft bpf lb list`)
      await moreOf(story, requests, streams)
      await story.must(`lab start ${NODE}`)
      await moreOf(story, requests, streams)
      const mapsAfter = await pinnedIds(story)
      await Promise.all([...requests, ...streams].map((one) => one.stop()))
      const [fromPod, fromClient] = [await count(story, requests[0]), await count(story, requests[1])]
      const [podStream, clientStream] = [numbersIn(streams[0].file), numbersIn(streams[1].file)]
      story.say(`streams: ${String(podStream.length)} and ${String(clientStream.length)} lines, numbered without a gap`)
      return { fromPod, fromClient, podStream, clientStream, statusCode, mapsWhileDead, mapsBefore, mapsAfter }
    } finally {
      await Promise.all([...requests, ...streams].map((one) => one.stop()))
    }
  },
  violations: (seen) => [
    ...onlyAnswers('from the pod', seen.fromPod),
    ...onlyAnswers('from the client', seen.fromClient),
    ...unbroken("the pod's stream", seen.podStream),
    ...unbroken("the client's stream", seen.clientStream),
    ...(seen.statusCode === 0 ? ['weft status succeeded although the agent was dead'] : []),
    ...(seen.mapsWhileDead.includes('10.2.47.149:80/TCP')
      ? []
      : ['weft bpf lb list did not show the service without an agent']),
    ...(seen.mapsBefore === seen.mapsAfter && seen.mapsBefore !== ''
      ? []
      : ['the restarted agent did not adopt the pinned maps']),
  ],
}

/** The request that the stop cut off leaves no line: every line is a request that ran to its end. */
async function count(story: Story, background: Background): Promise<Counts> {
  return parseCounts(await story.must(`sort ${background.file} | uniq -c`))
}

export function onlyAnswers(what: string, counts: Counts): string[] {
  const others = [...counts].filter(([status]) => status !== '200')
  if (!counts.has('200')) return [`no request ${what} was answered`]
  return others.map(([status, number]) => `${String(number)} requests ${what} ended with ${status}`)
}

function unbroken(what: string, numbers: readonly number[]): string[] {
  if (numbers.length === 0) return [`${what} is empty`]
  const gap = numbers.findIndex((number, index) => number !== index + 1)
  return gap === -1 ? [] : [`${what} breaks after line ${String(gap)}`]
}
