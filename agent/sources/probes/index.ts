import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Writer } from '../../state/writer.ts'
import type { ServiceName } from '../../types/service.ts'
import type { Evidence, ProbeSettings, ProbeTarget } from './evidence.ts'
import { formatReachKey } from '../../types/reach.ts'
import { ProbeBook } from './book.ts'
import { probe } from './connect.ts'
import { ProbeMemory } from './memory.ts'

export interface ProbeSourceOptions extends ProbeSettings {
  readonly writer: Writer
  readonly clock: Clock
  /** [0, 1): spreads what is asked over time. */
  readonly random: () => number
  readonly log: Log
  /** The remote backends of a service that connections may be sent to. */
  readonly targetsOf: (service: ServiceName) => readonly ProbeTarget[]
  /** Whether a cluster's control plane gives no sign of life, or may be about to. */
  readonly isSilent: (cluster: string) => boolean
  /** Keeps over restarts who has answered. */
  readonly memoryFile: string
  readonly ask?: (target: ProbeTarget, timeoutMs: number, clock: Clock) => Promise<Evidence>
}

/** How long first answers are collected before they are kept. */
const KEEP_MS = 5000
/** Changed services looked at in one tick: a first list of many thousands must not hold up the rest. */
const SERVICES_PER_TICK = 500

/**
 * Asks backends of remote clusters, by connecting to them, whether they are there, and tells the Writer what that says of them.
 * Without it nothing is known of any backend but what its cluster says.
 */
export function startProbes(options: ProbeSourceOptions): { stop(): Promise<void> } {
  const { writer, clock, random, intervalMs, timeoutMs, ask = probe } = options
  const log = options.log.child({ source: 'probes' })
  const memory = new ProbeMemory(options.memoryFile, log)
  const book = new ProbeBook(options, random, memory.recall())
  const changed = new Set<ServiceName>()
  const clusters = new Set<string>()
  const asking = new Set<Promise<void>>()
  const unsubscribe = writer.subscribe(({ table, key, service }) => {
    if (table === 'clusters') clusters.add(key)
    else if (service !== undefined && table !== 'reach') changed.add(service)
  })
  let cancelKeep: (() => void) | undefined
  let keeping: Promise<void> = Promise.resolve()
  let stopped = false
  let cancel: () => void = () => undefined

  const look = (): void => {
    let budget = SERVICES_PER_TICK
    for (const service of changed) {
      if (budget-- === 0) break
      changed.delete(service)
      const targets = options.targetsOf(service)
      book.replace(service, targets)
      for (const { cluster } of targets) clusters.add(cluster)
    }
    for (const cluster of clusters) book.silent(cluster, options.isSilent(cluster))
    clusters.clear()
  }

  const send = (target: ProbeTarget): void => {
    const asked = ask(target, timeoutMs, clock).then((evidence) => {
      asking.delete(asked)
      if (stopped) return
      if (book.learn(target, evidence, clock.now())) keepLater()
      tell()
    })
    asking.add(asked)
  }

  const keepLater = (): void => {
    cancelKeep ??= clock.after(KEEP_MS, () => {
      cancelKeep = undefined
      keeping = memory.keep(book.answered())
    })
  }

  const tell = (): void => {
    for (const { row, services } of book.verdicts(clock.now())) {
      const { cluster, answers, dead } = row
      log.info({ cluster, answers, dead: [...dead].slice(0, 10).map(formatReachKey), number: dead.size }, 'probes say')
      writer.upsertReach(row, services)
    }
  }

  const tick = (): void => {
    look()
    for (const target of book.due(clock.now())) send(target)
    tell()
    // Uneven steps, so that the nodes of a cluster do not fall into one beat.
    cancel = clock.after((Math.min(intervalMs, 2000) / 8) * (0.75 + random() / 2), tick)
  }

  tick()
  return {
    async stop() {
      stopped = true
      unsubscribe()
      cancel()
      if (cancelKeep !== undefined) {
        cancelKeep()
        keeping = memory.keep(book.answered())
      }
      await Promise.all([...asking, keeping])
    },
  }
}
