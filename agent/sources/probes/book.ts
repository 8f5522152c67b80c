import type { ServiceName } from '../../types/service.ts'
import type { Evidence, ProbeSettings, ProbeTarget, Verdict } from './evidence.ts'
import { ClusterBook } from './cluster-book.ts'

/**
 * Which backends to ask next, and what the answers mean. No input, no output, no clock.
 *
 * INVARIANTS
 * - At most `maxPerSecond × (s + 0.2)` probes, but at least one, are due in any `s` seconds; each cluster gets its turn.
 * - A backend is dead after three failures in a row, and alive again with an answer at the end of a hold-down in which none
 *   was missing. Silence counts only where there was an answer before, maybe to an earlier process: a backend behind a filter that lets this node through to nothing is not dead.
 * - A cluster answers for as long as one of its backends did within three intervals.
 */
export class ProbeBook {
  readonly #settings: ProbeSettings
  readonly #random: () => number
  readonly #answeredBefore: ReadonlySet<number>
  readonly #clusters = new Map<string, ClusterBook>()
  readonly #byService = new Map<ServiceName, readonly ProbeTarget[]>()
  #tokens = 1
  #filled: number | undefined
  #turn = 0

  /** `answeredBefore`: those that an earlier process had an answer of, by `reachKey`. */
  constructor(settings: ProbeSettings, random: () => number, answeredBefore: ReadonlySet<number> = new Set()) {
    this.#settings = settings
    this.#random = random
    this.#answeredBefore = answeredBefore
  }

  get size(): number {
    let size = 0
    for (const cluster of this.#clusters.values()) size += cluster.size
    return size
  }

  /** All targets of a service; none when it is gone. */
  replace(service: ServiceName, targets: readonly ProbeTarget[]): void {
    const before = this.#byService.get(service) ?? []
    if (targets.length > 0) this.#byService.set(service, targets)
    else this.#byService.delete(service)
    for (const target of targets) this.#book(target.cluster).add(target, service)
    const now = new Map<string, ProbeTarget>(targets.map((target) => [keyOf(target), target]))
    for (const target of before) if (!now.has(keyOf(target))) this.#book(target.cluster).remove(target, service)
  }

  /** Whether the cluster's control plane gives no sign of life, so that all of its backends are to be watched. */
  silent(cluster: string, yes: boolean): void {
    this.#clusters.get(cluster)?.setSilent(yes)
  }

  /** Those to ask now. Each must be answered for with `learn`. */
  due(now: number): ProbeTarget[] {
    const { maxPerSecond } = this.#settings
    const elapsed = Math.max(0, now - (this.#filled ?? now))
    this.#filled = now
    this.#tokens = Math.min(Math.max(1, maxPerSecond / 5), this.#tokens + (elapsed * maxPerSecond) / 1000)
    const clusters = [...this.#clusters.values()]
    for (const cluster of clusters) cluster.advance(now, elapsed)
    const due: ProbeTarget[] = []
    let idle = 0
    while (this.#tokens >= 1 && idle < clusters.length) {
      this.#turn = (this.#turn + 1) % clusters.length
      const target = clusters[this.#turn]!.next(now)
      if (target === undefined) {
        idle++
        continue
      }
      idle = 0
      this.#tokens--
      due.push(target)
    }
    return due
  }

  /** True when this was the first answer of a backend. */
  learn(target: ProbeTarget, evidence: Evidence, now: number): boolean {
    return this.#clusters.get(target.cluster)?.learn(target, evidence, now, this.#random()) === true
  }

  /** Those that have ever answered, by `reachKey`. */
  *answered(): IterableIterator<number> {
    for (const cluster of this.#clusters.values()) yield* cluster.answered()
  }

  /** What is to be known by others and was not said before. */
  *verdicts(now: number): Generator<Verdict> {
    for (const [name, cluster] of this.#clusters) {
      const verdict = cluster.verdict(now)
      if (verdict !== undefined) yield verdict
      if (cluster.size === 0) this.#clusters.delete(name)
    }
  }

  #book(name: string): ClusterBook {
    let book = this.#clusters.get(name)
    if (book === undefined)
      this.#clusters.set(name, (book = new ClusterBook(name, this.#settings, this.#answeredBefore)))
    return book
  }
}

function keyOf({ cluster, address, port }: ProbeTarget): string {
  return `${cluster}/${address}:${port}`
}
