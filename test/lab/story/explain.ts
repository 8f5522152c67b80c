import type { Point } from './story.ts'
import { differs, podIps, reset, settled, east, west } from './webpod.ts'

export interface ExplainedBackend {
  readonly address: string
  readonly cluster: string
  readonly selected: boolean
  readonly reason: string
}

export interface ExplainEvidence {
  readonly backends: readonly ExplainedBackend[]
  readonly text: string
}

/** Point 7: the agent says why. */
export const explain: Point<ExplainEvidence> = {
  title: 'weft explain: every backend of both clusters, chosen or not, and why',
  async tell(story) {
    await reset(story)
    await story.must('lab annotate west service/webpod service.cilium.io/affinity=local')
    await settled(story, west, podIps(west))
    const line = 'lab exec west-control-plane -- weft explain service default/webpod'
    const text = await story.must(line)
    const { frontends } = JSON.parse(await story.quietly(`${line} -o json`)) as {
      frontends: { backends: ExplainedBackend[] }[]
    }
    return { text, backends: frontends[0]?.backends ?? [] }
  },
  violations({ backends, text }) {
    const ips = (rows: readonly ExplainedBackend[]): string[] => rows.map((row) => row.address.replace(/:.*$/, ''))
    const lines = text.split('\n')
    return [
      ...differs('backends explained', ips(backends), podIps(west, east)),
      ...differs('backends selected', ips(backends.filter((row) => row.selected)), podIps(west)),
      ...differs(
        'reasons in east',
        [...new Set(backends.filter((row) => row.cluster === 'east').map((row) => row.reason))],
        ['affinity-hides'],
      ),
      ...podIps(west, east)
        .filter((ip) => lines.filter((line) => line.includes(`${ip}:`)).length !== 1)
        .map((ip) => `${ip} does not have exactly one line`),
    ]
  },
}
