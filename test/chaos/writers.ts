import { setTimeout as delay } from 'node:timers/promises'
import type { LabPaths } from '../lab/paths.ts'
import { put } from '../lab/store.ts'
import type { ClusterSpec } from '../lab/topology.ts'
import {
  manifestOf,
  podHostManifest,
  PODS,
  SERVICES,
  WRITERS,
  type Condition,
  type ServiceState,
  type WriterState,
} from './objects.ts'
import { randomFrom } from './random.ts'

/** The writers of one cluster write at the same beat: those who follow the directory then read it once for all of them. */
const BEAT_MS = 1000
/** Of a cluster's writers, how many write at a beat, and how many of their keys each changes. */
const BUSY = 1 / 3
const CHANGES = 6

/** Fifty writers, each with keys of its own in one cluster. What they do is drawn from the seed. */
export class Writers {
  readonly #lab: LabPaths
  readonly #clusters: readonly ClusterSpec[]
  readonly #writers: readonly (WriterState & { readonly file: string; readonly random: () => number })[]
  /** Changed keys that were written. */
  writes = 0

  constructor(lab: LabPaths, clusters: readonly ClusterSpec[], seed: number) {
    this.#lab = lab
    this.#clusters = clusters
    this.#writers = Array.from({ length: WRITERS }, (_, i) => {
      const cluster = clusters[i % clusters.length]
      if (cluster === undefined) throw new TypeError('a storm needs clusters')
      const random = randomFrom(seed * WRITERS + i)
      return {
        ...{ cluster, group: Math.floor(i / clusters.length), file: `storm-${i}.yaml`, random },
        services: Array.from({ length: SERVICES }, () => drawService(random)),
        pods: Array.from({ length: PODS }, () => pick(random, 8)),
      }
    })
  }

  /** The objects as they are now. */
  get states(): readonly WriterState[] {
    return this.#writers
  }

  writeAll(): void {
    for (const cluster of this.#clusters) put(this.#lab, cluster, 'elsewhere.yaml', podHostManifest(cluster))
    for (const writer of this.#writers) put(this.#lab, writer.cluster, writer.file, manifestOf(writer))
  }

  /** Changes and writes until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(
      this.#clusters.map(async (cluster, i) => {
        const own = this.#writers.filter((writer) => writer.cluster === cluster)
        await pause((BEAT_MS * i) / this.#clusters.length, signal)
        while (!signal.aborted) {
          for (const writer of own) {
            if (writer.random() >= BUSY) continue
            for (let n = 0; n < CHANGES; n++) change(writer)
            put(this.#lab, cluster, writer.file, manifestOf(writer))
            this.writes += CHANGES
          }
          await pause(BEAT_MS, signal)
        }
      }),
    )
  }
}

const pick = (random: () => number, n: number): number => Math.floor(random() * n)

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined) // aborted: the caller looks
}

function change({ random, services, pods }: WriterState & { readonly random: () => number }): void {
  const key = pick(random, SERVICES + PODS)
  if (key < SERVICES) services[key] = changed(services[key] ?? drawService(random), random)
  else pods[key - SERVICES] = random() < 0.2 ? undefined : pick(random, 8)
}

function changed(service: ServiceState, random: () => number): ServiceState {
  if (!service.exists) return { ...drawService(random), exists: true }
  const what = random()
  if (what < 0.1) return { ...service, exists: false }
  if (what < 0.2) return { ...service, shared: !service.shared }
  if (what < 0.3) return { ...service, affinity: drawAffinity(random) }
  return { ...service, endpoints: drawEndpoints(random) }
}

const drawService = (random: () => number): ServiceState => ({
  exists: random() < 0.9,
  affinity: drawAffinity(random),
  shared: random() < 0.85,
  endpoints: drawEndpoints(random),
})

const drawAffinity = (random: () => number): ServiceState['affinity'] =>
  (['none', 'none', 'local', 'remote'] as const)[pick(random, 4)] ?? 'none'

const drawEndpoints = (random: () => number): ServiceState['endpoints'] =>
  [0, 1, 2, 3].filter(() => random() < 0.5).map((place) => [place, drawCondition(random)])

function drawCondition(random: () => number): Condition {
  const what = random()
  return what < 0.8 ? 'ready' : what < 0.9 ? 'serving' : 'not-ready'
}
