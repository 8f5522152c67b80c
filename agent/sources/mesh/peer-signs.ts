import type { Clock } from '../../lib/clock.ts'
import type { ClusterCopy } from '../../types/cluster.ts'
import type { ClusterConfig } from '../../types/wire/cluster-config.ts'
import type { ClusterLink } from '../../types/wire/cluster-link.ts'
import { Heartbeat } from './heartbeat.ts'

/** For people: the connection stands. */
export const SILENT = 'connected, but nothing comes from there'

const EXPORTER_SILENT = 'etcd answers, but nobody writes the heartbeat into it: the exporter is dead'
const COPIER_SILENT = 'nobody renews its copy: kvstoremesh is dead, and what is known here is its last word'

/**
 * What an etcd that answers says about the cluster whose records it holds, over any number of sessions.
 *
 * Its own etcd shows that a cluster lives while its exporter writes the heartbeat. A copy shows it unless the copier says that
 * the cluster is silent: a copier that is dead says nothing new, and that is no word about the cluster.
 */
export class PeerSigns {
  readonly heartbeat: Heartbeat
  readonly #clock: Clock
  readonly #onLink: () => void
  #cached = false
  #link: ClusterLink | undefined
  /** By our clock: when the silence told of began. */
  #silentFrom = 0
  #wake: () => void = () => undefined

  /** `onLink`: what the copier says has changed while it was being watched. */
  constructor(clock: Clock, staleMs: number | undefined, onLink: () => void = () => undefined) {
    this.#clock = clock
    this.heartbeat = new Heartbeat(clock, staleMs)
    this.#onLink = onLink
  }

  /**
   * The record as it is found by a new session: it may have been written long ago. `copierAt`: the copier lived then, by its
   * own clock.
   */
  found(config: ClusterConfig, copierAt?: number): void {
    if (this.#cached !== config.cached) this.heartbeat.forget()
    this.#cached = config.cached
    const { silentSince } = config.link ?? {}
    this.#take(config.link, silentSince === undefined ? 0 : this.#sinceThen(silentSince, copierAt))
  }

  /** The record as it was written just now. */
  changed(config: ClusterConfig): void {
    this.#take(config.link, 0)
    this.#onLink()
  }

  /** Whether an answer of this etcd is evidence that the cluster lives. */
  get alive(): boolean {
    return this.#cached ? this.#link?.silentSince === undefined : !this.heartbeat.stale
  }

  /** How long the cluster has been silent by what the copier says; 0 when it is not. */
  get silenceMs(): number {
    return this.#cached && !this.alive ? this.#clock.now() - this.#silentFrom : 0
  }

  /** For people: what is wrong, though etcd answers. */
  get complaint(): string {
    if (!this.#cached) return this.heartbeat.stale ? EXPORTER_SILENT : ''
    if (!this.alive) return `kvstoremesh hears nothing of it: ${this.#link?.reason || 'no reason told'}`
    return this.heartbeat.stale ? COPIER_SILENT : ''
  }

  get copy(): ClusterCopy | undefined {
    if (!this.#cached) return undefined
    const { connected, silentSince, reason = '' } = this.#link ?? {}
    return { renewed: !this.heartbeat.stale, connected, silentSince, reason }
  }

  /** Resolves when there is a new sign of life. */
  next(): Promise<void> {
    if (!this.#cached) return this.heartbeat.next()
    return new Promise((resolve) => (this.#wake = resolve))
  }

  /**
   * How long ago a time of the copier's was. What the copier's own clock says bounds it, so that a day by which ours is off
   * does not count: it was alive at its last heartbeat, and is alive still or has been dead for an unknown time.
   */
  #sinceThen(then: number, copierAt: number | undefined): number {
    const ours = this.#clock.date().getTime() - then
    if (copierAt === undefined) return ours
    const theirs = copierAt - then
    return Math.min(Math.max(ours, theirs), theirs + this.heartbeat.staleMs)
  }

  /**
   * The clocks of two machines are compared only where nothing else tells how long ago something was: how long the silence
   * had lasted when it was told is known by the teller's clock alone.
   */
  #take(link: ClusterLink | undefined, atLeastMs: number): void {
    const known = this.#link?.silentSince
    this.#link = link
    if (link?.silentSince === undefined) {
      this.#wake()
      this.#wake = () => undefined
    } else if (link.silentSince !== known) {
      this.#silentFrom = this.#clock.now() - Math.max(atLeastMs, (link.at ?? link.silentSince) - link.silentSince, 0)
    }
  }
}
