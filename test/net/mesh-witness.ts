import { clusterMeshReport } from '../../agent/api/clustermesh.ts'
import { explainReport } from '../../agent/api/explain.ts'
import { renderClusterMesh } from '../../agent/cli/clustermesh-text.ts'
import { renderExplain } from '../../agent/cli/explain-text.ts'
import { selectBackends } from '../../agent/desired/select-backends.ts'
import * as api from '../unit/api/fixture.ts'
import { backendSet, endpoint, HTTP, service, WEBPOD } from '../unit/desired/fixture.ts'
import type { West } from './mesh-fixture.ts'

/**
 * What an operator of west is told while a test runs: `weft explain service default/webpod` and the block about the mesh of
 * `weft status --verbose`, each time something about a cluster changes. West has a backend of its own, so that those of a lost
 * cluster are not the last ones.
 */
export class Witness {
  readonly #west: West
  readonly #told: { readonly explain: string; readonly status: string }[] = []

  constructor(west: West) {
    this.#west = west
    west.writer.upsertService(service())
    west.writer.upsertBackends(backendSet('west', [endpoint('10.0.0.46')]))
    west.writer.subscribe(({ table }) => {
      if (table === 'clusters') this.#look()
    })
  }

  #look(): void {
    const { tables } = this.#west
    const decisions = selectBackends(
      {
        tables,
        local: { clusterName: 'west', clusterId: 1, nodeName: 'west-worker', nodeAddresses: [] },
        lb: {
          algorithm: 'random',
          mode: 'snat',
          dsrRemoteClusters: 'advertised',
          maglevSize: 'auto',
          nodePortRange: { first: 30_000, last: 32_767 },
        },
        isSynced: () => true,
        restored: () => [],
      },
      service(),
      HTTP,
      'all',
    )
    const rows = [api.row(api.frontend(decisions))]
    const { view } = api.world(rows, { tables })
    const report = explainReport(view, WEBPOD)
    this.#told.push({
      explain: report === undefined ? '' : renderExplain(report),
      status: renderClusterMesh(clusterMeshReport(tables, 'west'), { allClusters: true, now: new Date() }),
    })
  }

  /** What explain said when both it and the status named the reason; throws when they never did. */
  explained(reason: RegExp): string {
    const found = this.#told.findLast(({ explain, status }) => reason.test(explain) && reason.test(status))
    if (found !== undefined) return found.explain
    const last = this.#told.at(-1)
    throw new Error(`never told: ${String(reason)}; last: ${last?.explain ?? ''}\n${last?.status ?? ''}`)
  }

  /** How often what was counted, as the last status shows it: `etcd-lost=1, unreachable=1`. */
  get losses(): string {
    return /└ {2}losses: (.*)/.exec(this.#told.at(-1)?.status ?? '')?.[1] ?? ''
  }
}
