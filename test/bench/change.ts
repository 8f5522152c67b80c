import type { Result } from './report.ts'
import type { Frontend } from '../../agent/types/frontend.ts'
import type { ServiceName } from '../../agent/types/service.ts'
import { desiredFrontends, frontendRank } from '../../agent/desired/frontends.ts'
import { systemClock } from '../../agent/lib/clock.ts'
import { silentLog } from '../../agent/lib/log.ts'
import { Planner } from '../../agent/reconcile/planner.ts'
import { Reconciler } from '../../agent/reconcile/reconciler.ts'
import { SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import { cpuMs, median } from './measure.ts'
import { pinned } from './place.ts'
import { ms, result } from './report.ts'
import { Balancer, createLbMaps, rows, snapshotOf } from './world.ts'

const SERVICES = 10_000
const ROUNDS = 20
const CHANGES = 100
/** A whole Cilium agent's CPU time per change, measured when the goal was set. */
const CILIUM_MS = 0.87

export const CHANGE_IDS = ['C3']

/** One endpoint gone or back, each change on its own: Writer → planner → selection → reconciler → map. */
export async function benchChange(): Promise<Result[]> {
  const tables = createTables()
  const writer = new Writer(tables, new SyncGates())
  const { services, sets } = rows(SERVICES, 10)
  for (const service of services) writer.upsertService(service)
  for (const set of sets) writer.upsertBackends(set)

  const maps = createLbMaps()
  const balancer = new Balancer(maps, systemClock)
  const { target } = balancer
  const reconciler = new Reconciler<Frontend>({
    target,
    clock: systemClock,
    random: Math.random,
    log: silentLog,
    rank: frontendRank,
    auditMs: 0,
  })
  const snapshot = snapshotOf(tables)
  const planner = new Planner<Frontend>({
    reconciler,
    compute: (owner) =>
      new Map(desiredFrontends(snapshot, owner as ServiceName).frontends.map((frontend) => [frontend.id, frontend])),
  })
  const unsubscribe = writer.subscribe((change) => {
    if (change.service !== undefined) planner.mark(change.service)
  })
  try {
    await reconciler.start()
    planner.markAll(services.map((service) => service.name))
    await planner.idle()
    const costs = await pinned(async () => {
      const found: { cpu: number; wall: number }[] = []
      for (let round = 0; round < ROUNDS; round++) {
        const cpu = cpuMs()
        const start = performance.now()
        for (let i = 0; i < CHANGES; i++) {
          const set = sets[(round * CHANGES + i) * 5]!
          writer.upsertBackends({ ...set, endpoints: set.endpoints.filter((_, at) => at !== 3) })
          await planner.idle()
        }
        found.push({ cpu: (cpuMs() - cpu) / CHANGES, wall: (performance.now() - start) / CHANGES })
      }
      return found
    })
    const { pending, failing, desired } = reconciler.stats()
    if (pending + failing > 0 || desired !== SERVICES) throw new Error('changes did not reach the map')
    return [
      result({
        id: 'C3',
        what: `one endpoint gone at ${SERVICES} services, event → map`,
        measured: median(costs.map((cost) => cost.cpu)),
        goal: 0.4,
        unit: 'ms CPU',
        against: `Cilium's whole agent ${CILIUM_MS} ms`,
        detail: `wall ${ms(median(costs.map((cost) => cost.wall)))}`,
      }),
    ]
  } finally {
    unsubscribe()
    await planner.stop()
    await reconciler.stop()
    balancer.close()
    for (const map of Object.values(maps)) map.close()
  }
}
