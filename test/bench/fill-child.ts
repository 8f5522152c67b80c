/** A new process, as an agent's start is: rows into tables, tables into maps, once cold and then again. Prints one JSON line. */
import type { Frontend } from '../../agent/types/frontend.ts'
import { desiredFrontends } from '../../agent/desired/frontends.ts'
import { systemClock } from '../../agent/lib/clock.ts'
import { SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import { cpuMs } from './measure.ts'
import { Balancer, createLbMaps, rows, snapshotOf } from './world.ts'

export interface FillReply {
  readonly wall: number
  readonly cpu: number
  /** Of `wall`: rows into tables, tables into frontends, frontends into maps. */
  readonly parts: readonly [tables: number, desired: number, maps: number]
}

const AGAIN = Number(process.argv[2] ?? 0)

for (let run = 0; run <= AGAIN; run++) process.stdout.write(`${JSON.stringify(await fill())}\n`)

async function fill(): Promise<FillReply> {
  const { services, sets } = rows(10_000, 10)
  const maps = createLbMaps()
  const balancer = new Balancer(maps, systemClock)
  await balancer.target.load()

  const cpu = cpuMs()
  const start = performance.now()
  const tables = createTables()
  const writer = new Writer(tables, new SyncGates())
  for (const service of services) writer.upsertService(service)
  for (const set of sets) writer.upsertBackends(set)
  const inTables = performance.now()
  const snapshot = snapshotOf(tables)
  const frontends: Frontend[] = []
  for (const service of tables.services.values()) frontends.push(...desiredFrontends(snapshot, service.name).frontends)
  const wanted = performance.now()
  await balancer.set(frontends)
  const end = performance.now()
  const reply: FillReply = {
    wall: end - start,
    cpu: cpuMs() - cpu,
    parts: [inTables - start, wanted - inTables, end - wanted],
  }
  if (maps.services.dump().count !== services.length) throw new Error('not every service is in the map')
  balancer.close()
  for (const map of Object.values(maps)) map.close()
  return reply
}
