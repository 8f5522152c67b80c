import type { Evidence, ProbeSettings, ProbeTarget, Verdict } from './evidence.ts'
import type { ServiceName } from '../../types/service.ts'
import { reachKey } from '../../types/reach.ts'

/** Failures in a row that make a backend dead. */
export const FAILURES = 3
/** Backends of a quiet cluster that are asked per interval; all of them take their turn. */
export const SAMPLE = 8
/** Intervals for which one answer speaks for the way to its cluster. */
const FRESH = 3
/** Into how many parts the hold-down is cut: a backend that is back is asked after each. */
const HOLD_PARTS = 4
/** Intervals after a death during which all backends of the cluster are asked: what took one may have taken others. */
const ALARM = 10

interface Known {
  readonly target: ProbeTarget
  readonly services: Set<ServiceName>
  answered: boolean
  failures: number
  /** Of a dead one: since when it has answered every time; undefined: it did not, the last time. */
  backSince: number | undefined
  asked: boolean
  /** When a suspect or dead one is asked again. */
  next: number
}

/** The backends of one cluster. Suspects come first, then the tour of all and the dead by turns. */
export class ClusterBook {
  readonly #name: string
  readonly #settings: ProbeSettings
  readonly #answeredBefore: ReadonlySet<number>
  readonly #known = new Map<number, Known>()
  readonly #suspects = new Set<Known>()
  readonly #dead = new Set<Known>()
  readonly #changed = new Set<ServiceName>()
  #tour: Iterator<Known> = [][Symbol.iterator]()
  /** How many of the tour may be asked. */
  #credit = 1
  #tourNext = true
  #silent = false
  #alarmUntil = -Infinity
  #lastAnswer = -Infinity
  #saidAnswers = false

  /** `answeredBefore`: those that an earlier process had an answer of, by `reachKey`. */
  constructor(name: string, settings: ProbeSettings, answeredBefore: ReadonlySet<number>) {
    this.#name = name
    this.#settings = settings
    this.#answeredBefore = answeredBefore
  }

  get size(): number {
    return this.#known.size
  }

  add(target: ProbeTarget, service: ServiceName): void {
    const key = reachKey(target.address, target.port)
    const known = this.#known.get(key)
    if (known === undefined) {
      const services = new Set([service])
      this.#known.set(key, {
        target,
        services,
        answered: this.#answeredBefore.has(key),
        failures: 0,
        backSince: undefined,
        asked: false,
        next: 0,
      })
      return
    }
    known.services.add(service)
    if (this.#dead.has(known)) this.#changed.add(service)
  }

  remove(target: ProbeTarget, service: ServiceName): void {
    const key = reachKey(target.address, target.port)
    const known = this.#known.get(key)
    if (known === undefined) return
    known.services.delete(service)
    if (known.services.size > 0) return
    this.#known.delete(key)
    this.#suspects.delete(known)
    if (this.#dead.delete(known)) this.#changed.add(service)
  }

  /** Those that have ever answered, by `reachKey`. */
  *answered(): IterableIterator<number> {
    for (const [key, { answered }] of this.#known) if (answered) yield key
  }

  setSilent(yes: boolean): void {
    this.#silent = yes
  }

  advance(now: number, elapsed: number): void {
    const all = this.#silent || this.#suspects.size > 0 || now < this.#alarmUntil
    const perInterval = all ? this.#known.size : Math.min(SAMPLE, this.#known.size)
    const most = Math.max(1, perInterval)
    this.#credit = Math.min(most, this.#credit + (elapsed * perInterval) / this.#settings.intervalMs)
  }

  next(now: number): ProbeTarget | undefined {
    this.#tourNext = !this.#tourNext
    const found =
      this.#waiting(this.#suspects, now) ??
      (this.#tourNext ? this.#onTour() : this.#waiting(this.#dead, now)) ??
      (this.#tourNext ? this.#waiting(this.#dead, now) : this.#onTour())
    if (found === undefined) return undefined
    found.asked = true
    return found.target
  }

  /**
   * `spread` in [0, 1) keeps nodes that saw the same from asking again at the same time. True when this was the first answer
   * of a backend.
   */
  learn(target: ProbeTarget, evidence: Evidence, now: number, spread: number): boolean {
    const known = this.#known.get(reachKey(target.address, target.port))
    if (known === undefined) return false
    const first = evidence === 'answers' && !known.answered
    known.asked = false
    const patience = this.#patience(known)
    if (evidence === 'answers') this.#answered(known, now)
    else if (evidence === 'refused' || (evidence === 'silent' && known.answered)) this.#failed(known, now)
    known.next = now + Math.min(patience, this.#patience(known)) * (0.75 + spread / 2)
    this.#requeue(known)
    return first
  }

  verdict(now: number): Verdict | undefined {
    const { intervalMs, timeoutMs } = this.#settings
    const answers = this.#known.size > 0 && now - this.#lastAnswer <= FRESH * intervalMs + timeoutMs
    if (answers === this.#saidAnswers && this.#changed.size === 0) return undefined
    this.#saidAnswers = answers
    const dead = new Set([...this.#dead].map(({ target }) => reachKey(target.address, target.port)))
    const services = [...this.#changed]
    this.#changed.clear()
    return { row: { cluster: this.#name, answers, dead }, services }
  }

  /** How long until a backend is asked again: soon where the next answer may change what is said of it. */
  #patience({ failures, backSince }: Known): number {
    const { intervalMs, holdDownMs } = this.#settings
    if (failures < FAILURES) return intervalMs / 8
    return backSince === undefined ? intervalMs : Math.min(intervalMs, holdDownMs / HOLD_PARTS)
  }

  #answered(known: Known, now: number): void {
    known.answered = true
    this.#lastAnswer = now
    if (this.#dead.has(known)) {
      known.backSince ??= now
      if (now - known.backSince < this.#settings.holdDownMs) return
      this.#dead.delete(known)
      this.#note(known)
    }
    known.failures = 0
    known.backSince = undefined
    this.#suspects.delete(known)
  }

  #failed(known: Known, now: number): void {
    known.backSince = undefined
    if (known.failures < FAILURES) known.failures++
    if (known.failures < FAILURES) {
      this.#suspects.add(known)
      return
    }
    this.#suspects.delete(known)
    if (this.#dead.has(known)) return
    this.#dead.add(known)
    this.#alarmUntil = now + ALARM * this.#settings.intervalMs
    this.#note(known)
  }

  #note(known: Known): void {
    for (const service of known.services) this.#changed.add(service)
  }

  /** To the end of the queue it is in, so that the first one of a queue has waited longest. */
  #requeue(known: Known): void {
    for (const queue of [this.#suspects, this.#dead]) if (queue.delete(known)) queue.add(known)
  }

  #waiting(queue: ReadonlySet<Known>, now: number): Known | undefined {
    for (const known of queue) {
      if (known.asked) continue
      return known.next <= now ? known : undefined
    }
    return undefined
  }

  #onTour(): Known | undefined {
    if (this.#credit < 1) return undefined
    // Two rounds at most: the rest of the current one, and one from the start.
    for (let fresh = 0; fresh < 2;) {
      const { value, done } = this.#tour.next() as IteratorResult<Known, undefined>
      if (done === true) {
        this.#tour = this.#known.values()
        fresh++
        continue
      }
      if (value.asked || value.failures > 0) continue
      this.#credit--
      return value
    }
    return undefined
  }
}
