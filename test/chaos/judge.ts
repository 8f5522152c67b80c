import type { PodPlace, Route } from './probed.ts'
import type { Answer } from './requests.ts'

/**
 * Which failed requests are lost. The network's faults are the only excuse: no death, halt or clock of an agent, an
 * exporter or an etcd costs a request, because the kernel goes on forwarding.
 */

/** A time in which packets were dropped; ms of the monotonic clock. */
export interface Cut {
  readonly kind: 'partition' | 'link-down'
  /** A cluster, or a node. */
  readonly target: string
  /** Just before it was put in place, and when it was in place. */
  readonly from: number
  inPlace: number
  /** When the last of it was taken away; Infinity while it lasts. */
  to: number
}

/** A time in which a node had no working agent to change its maps. */
export interface Absence {
  readonly node: string
  readonly from: number
  to: number
}

export interface Events {
  readonly cuts: readonly Cut[]
  readonly absences: readonly Absence[]
}

interface Place {
  readonly cluster: string
  readonly node: string
}

/** Whether nothing passes between two places. A partition does not concern who is in no cluster. */
export function separates(cut: Cut, a: Place, b: Place): boolean {
  if (cut.kind === 'partition')
    return a.cluster !== '' && b.cluster !== '' && (a.cluster === cut.target) !== (b.cluster === cut.target)
  return a.node !== b.node && (a.node === cut.target || b.node === cut.target)
}

/**
 * What a request says. `answered`: it was. `proof`: it was, though there was a cut that took backends from it and was no longer
 * young: one of those had to be avoided. The rest failed:
 *
 * - `lost`: it had to succeed;
 * - `young`: a cut that takes backends from it was in place for less than the grace time, or its node had no agent for that long;
 * - `unreachable`: the cut left no backend to reach, or not even the node that it went in through;
 * - `own`: the cut took backends of the own cluster, of which its own control plane would have to tell.
 */
export type Verdict = 'answered' | 'proof' | 'lost' | 'young' | 'unreachable' | 'own'

export function judge(
  answer: Answer,
  route: Route,
  backends: readonly PodPlace[],
  events: Events,
  graceMs: number,
): Verdict {
  const answered = answer.outcome === 'ok'
  const active = events.cuts.filter((cut) => cut.from < answer.end && cut.to > answer.start)
  const harmful = active.filter((cut) => backends.some((place) => separates(cut, route, place)))
  const old = harmful.every((cut) => answer.start > knownSince(cut, route.node, events.absences) + graceMs)
  if (answered) return old && harmful.length > 0 ? 'proof' : 'answered'
  const cutOff = (place: PodPlace): boolean => harmful.some((cut) => separates(cut, route, place))
  if (backends.every(cutOff) || (route.outside && active.some((cut) => separates(cut, OUTSIDE, route))))
    return 'unreachable'
  if (backends.some((place) => place.cluster === route.cluster && cutOff(place))) return 'own'
  return old ? 'lost' : 'young'
}

/** The client is on the segment: only the cable of a node separates it from that. */
const OUTSIDE: Place = { cluster: '', node: '' }

/** When the node's agent could begin to notice: when the cut was in place, or once the agent worked again. */
function knownSince(cut: Cut, node: string, absences: readonly Absence[]): number {
  return absences
    .filter((absence) => absence.node === node && absence.to > cut.from && absence.from < cut.to)
    .reduce((latest, { to }) => Math.max(latest, to), cut.inPlace)
}
