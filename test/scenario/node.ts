import { setImmediate } from 'node:timers/promises'
import type { AgentView } from '../../agent/api/view.ts'
import type { PipelineTargets } from '../../agent/run/pipelines.ts'
import type { CaseConfig } from './format.ts'
import type { OpenTargets, Place } from './place.ts'
import { liveSnapshot } from '../../agent/run/live-snapshot.ts'
import { silentLog } from '../../agent/lib/log.ts'
import { Pipelines } from '../../agent/run/pipelines.ts'
import { LOCAL_SOURCE, SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import { parseAddress } from '../../agent/types/address.ts'
import { agentView } from '../../agent/run/view.ts'
import { SteppedClock } from '../stepped-clock.ts'
import { counting } from './place.ts'

export const OWN = { clusterName: 'west', clusterId: 1, nodeName: 'west-worker', address: '172.18.0.3' } as const
const AUDIT_MS = 60_000

/** One agent process from its tables to its targets, put together as `weft agent` does, in a time that is stepped. */
export class AgentProcess {
  readonly sync = new SyncGates()
  readonly writer: Writer
  readonly view: AgentView
  readonly pipelines: Pipelines
  /** Entries written or removed so far. */
  writes = 0
  readonly #open: OpenTargets

  private constructor(open: OpenTargets, config: CaseConfig, clock: SteppedClock) {
    this.#open = open
    const { sync } = this
    const tables = createTables()
    sync.register(LOCAL_SOURCE)
    this.writer = new Writer(tables, sync)
    const { maglevTableSize, algorithm } = config
    const snapshot = liveSnapshot(
      {
        ...OWN,
        nodePortRange: [30000, 32767],
        loadBalancer: {
          algorithm,
          maglevTableSize,
          mode: 'snat',
          acceleration: 'disabled',
          dsrDispatch: 'geneve',
          dsrInfo: 'syn',
          dsrRemoteClusters: 'advertised',
        },
      },
      () => [parseAddress(OWN.address)!],
      tables,
      sync,
      (id) => open.found.get(id)?.group.slots ?? [],
    )
    this.pipelines = new Pipelines({
      ...{ targets: this.#counted(open.targets), snapshot, writer: this.writer, sync, clock },
      ...{ random: () => 0.5, log: silentLog, auditMs: AUDIT_MS },
    })
    this.view = agentView({
      ...{ version: 'test', values: [], tables, snapshot, sync, pipelines: this.pipelines, clock },
      idOf: (frontend) => open.idOf(frontend),
      datapath: () => {
        throw new Error('there are no programs here')
      },
    })
  }

  static async start(place: Place, config: CaseConfig, clock: SteppedClock): Promise<AgentProcess> {
    const agent = new AgentProcess(await place.open(clock), config, clock)
    await agent.pipelines.start()
    return agent
  }

  /** Until everything that follows from what has happened was tried. Time stands still meanwhile. */
  async settle(): Promise<void> {
    const { lb, endpoints, ipcache, routes } = this.pipelines
    // Pruning follows planning by a turn of the event loop, and may give a refused entry its room.
    for (let turn = 0; turn < 3; turn++) {
      await this.pipelines.idle()
      await setImmediate()
      for (const each of [lb, endpoints, ipcache, routes]) await each?.round()
    }
  }

  async stop(): Promise<void> {
    await this.pipelines.stop()
    this.#open.close()
  }

  #counted(targets: PipelineTargets): PipelineTargets {
    const count = (entries: number): void => void (this.writes += entries)
    return {
      lb: counting(targets.lb, count),
      endpoints: counting(targets.endpoints, count),
      ipcache: counting(targets.ipcache, count),
      routes: targets.routes && counting(targets.routes, count),
    }
  }
}
