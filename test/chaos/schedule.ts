import { randomFrom } from './random.ts'

/**
 * What goes wrong in a storm, and when: a pure function of seed, length and names, so that a seed repeats a storm.
 *
 * Three lanes run beside each other, in each of them one fault at a time (on a machine too busy to keep the times, later): the network between and in clusters, what clusters
 * export (etcd and exporter), and agents.
 */

export type FaultKind =
  /** Nothing gets through between a cluster and the others, in either direction; nobody is told. */
  | 'partition'
  /** A node's cable is pulled. */
  | 'link-down'
  /** Packets between a cluster's etcd and other clusters vanish; its pods are well. */
  | 'etcd-hole'
  /** All connections of a cluster's etcd are reset. */
  | 'etcd-reset'
  | 'etcd-kill'
  | 'etcd-stop'
  /** Compaction at the newest revision: whoever watches from an older one has to list again. */
  | 'compact'
  /** The same while other clusters cannot reach that etcd. */
  | 'compact-away'
  | 'exporter-kill'
  | 'exporter-stop'
  | 'exporter-clock'
  | 'copier-kill'
  | 'copier-stop'
  | 'agent-kill'
  | 'agent-stop'
  | 'agent-clock'

export interface Fault {
  /** Of one lane, a fault begins when the one before it is over. */
  readonly lane: number
  /** Milliseconds from the start of the storm. */
  readonly at: number
  /** How long it lasts; 0 for what happens and is over. */
  readonly ms: number
  readonly kind: FaultKind
  /** A cluster; of `link-down` and of what befalls agents, a node. */
  readonly target: string
  /** Of clocks: seconds they are off the true time from then on. */
  readonly skew?: number
}

export interface Places {
  readonly clusters: readonly string[]
  readonly nodes: readonly string[]
  /** Whether every cluster copies the others into its etcd. */
  readonly kvstoremesh: boolean
}

/** A kind, how often beside the others, and the shortest and longest it lasts. */
type Choice = readonly [kind: FaultKind, share: number, least: number, most: number]

interface Lane {
  readonly gap: readonly [number, number]
  readonly choices: readonly Choice[]
}

const NETWORK: Lane = {
  gap: [4000, 9000],
  choices: [
    ['partition', 3, 5000, 13_000],
    ['link-down', 1, 400, 8000],
  ],
}

const EXPORT: Lane = {
  gap: [1500, 5000],
  choices: [
    ['etcd-hole', 2, 1000, 9000],
    ['etcd-reset', 2, 0, 0],
    ['etcd-kill', 2, 300, 6000],
    ['etcd-stop', 2, 1000, 8000],
    ['compact', 1, 0, 0],
    ['compact-away', 1, 2000, 6000],
    ['exporter-kill', 2, 300, 5000],
    ['exporter-stop', 1, 1000, 6000],
    ['exporter-clock', 1, 0, 0],
  ],
}

const AGENT: Lane = {
  gap: [2000, 6000],
  choices: [
    ['agent-kill', 2, 300, 5000],
    ['agent-stop', 1, 1000, 6000],
    ['agent-clock', 1, 0, 0],
  ],
}

/** Besides, where clusters copy each other. */
const COPIERS: readonly Choice[] = [
  ['copier-kill', 2, 300, 5000],
  ['copier-stop', 1, 1000, 6000],
]

/** The quiet at the start. */
const LEAD_MS = 3000
const MOST_SKEW_S = 86_400

/** Faults in the order in which they begin; all are over before `ms`. */
export function scheduleOf(seed: number, ms: number, places: Places): Fault[] {
  const exporting = places.kvstoremesh ? { ...EXPORT, choices: [...EXPORT.choices, ...COPIERS] } : EXPORT
  const lanes = [NETWORK, exporting, AGENT]
  return lanes
    .flatMap((lane, i) =>
      laneOf(lane, randomFrom(seed * lanes.length + i), ms, places).map((fault) => ({ ...fault, lane: i })),
    )
    .sort((a, b) => a.at - b.at)
}

function laneOf(lane: Lane, random: () => number, ms: number, places: Places): Omit<Fault, 'lane'>[] {
  const between = (least: number, most: number): number => Math.round(least + random() * (most - least))
  const faults: Omit<Fault, 'lane'>[] = []
  for (let at = LEAD_MS + between(0, lane.gap[0]); ;) {
    const [kind, , least, most] = choose(lane.choices, random())
    const names = kind === 'link-down' || kind.startsWith('agent-') ? places.nodes : places.clusters
    const target = names[Math.floor(random() * names.length)]
    if (target === undefined) throw new TypeError('a storm needs clusters and nodes')
    const length = between(least, most)
    if (at + length > ms) return faults
    const skew = kind.endsWith('-clock') ? { skew: between(-MOST_SKEW_S, MOST_SKEW_S) } : {}
    faults.push({ at, ms: length, kind, target, ...skew })
    at += length + between(...lane.gap)
  }
}

function choose(choices: readonly Choice[], random: number): Choice {
  let left = random * choices.reduce((sum, [, share]) => sum + share, 0)
  const found = choices.find(([, share]) => (left -= share) < 0) ?? choices.at(-1)
  if (found === undefined) throw new TypeError('a lane without choices')
  return found
}

/** `  12.3 s  partition east, 6.1 s`. */
export function describeFault({ at, ms, kind, target, skew }: Fault): string {
  const length = ms === 0 ? '' : `, ${(ms / 1000).toFixed(1)} s`
  const off = skew === undefined ? '' : `, ${skew < 0 ? '' : '+'}${skew} s`
  return `${(at / 1000).toFixed(1).padStart(6)} s  ${kind} ${target}${length}${off}`
}
