import type { Problem } from '../../types/problem.ts'
import type { Affinity, Algorithm, Forwarding, MeshIntent, SourceRangePolicy } from '../../types/service.ts'
import type { Field } from './fields.ts'
import { show } from './fields.ts'

const GLOBAL = ['service.cilium.io/global', 'io.cilium/global-service'] as const
const SHARED = ['service.cilium.io/shared', 'io.cilium/shared-service'] as const
const AFFINITY = ['service.cilium.io/affinity', 'io.cilium/service-affinity'] as const
const ALGORITHM = ['service.cilium.io/lb-algorithm'] as const
const FORWARDING = ['service.cilium.io/forwarding-mode'] as const
const SOURCE_RANGES = ['service.cilium.io/src-ranges-policy'] as const

const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, false: false }
const AFFINITIES: Readonly<Record<string, Affinity>> = {
  local: 'local',
  remote: 'remote',
  none: 'none',
  default: 'none',
}
const ALGORITHMS: Readonly<Record<string, Algorithm>> = { random: 'random', maglev: 'maglev' }
const FORWARDINGS: Readonly<Record<string, Forwarding>> = { snat: 'snat', dsr: 'dsr' }
const SOURCE_RANGE_POLICIES: Readonly<Record<string, SourceRangePolicy>> = { allow: 'allow', deny: 'deny' }

export interface ServiceAnnotations {
  readonly mesh: MeshIntent
  readonly algorithm: Algorithm | undefined
  readonly forwarding: Forwarding | undefined
  readonly sourceRangePolicy: SourceRangePolicy
  readonly problems: readonly Problem[]
}

/**
 * What the annotations of a service ask for. The first spelling of a key that is present wins, whatever it says. A value
 * that is not understood means the default and a problem: a typing error must neither take a service out of work nor
 * pass unseen.
 *
 * `who` names the object in problems: `Service default/webpod (services.yaml:12)`.
 */
export function readServiceAnnotations(annotations: Field, who: string): ServiceAnnotations {
  const problems: Problem[] = []

  function choose<T>(
    keys: readonly string[],
    values: Readonly<Record<string, T>>,
    fallback: T,
    defaultText: string,
  ): T {
    const key = keys.find((candidate) => annotations.at(candidate).value !== undefined)
    if (key === undefined) return fallback
    const written = annotations.at(key).value
    const text = String(written).toLowerCase()
    const known = Object.hasOwn(values, text)
    const accepted = Object.keys(values).join(', ')
    if (!known) {
      problems.push({
        code: 'unknown-annotation-value',
        message: `${who}: annotation ${key} is ${show(written)}, which means nothing here; ${defaultText} is used`,
        hint: `Accepted values: ${accepted}.`,
      })
    } else if (typeof written !== 'string') {
      problems.push({
        code: 'annotation-not-a-string',
        message: `${who}: annotation ${key} is ${text} without quotes; Kubernetes would refuse it`,
        hint: `Write ${key}: "${text}".`,
      })
    }
    return known ? (values[text] as T) : fallback
  }

  const mesh: MeshIntent = {
    global: choose(GLOBAL, BOOLEANS, false, 'false'),
    shared: choose(SHARED, BOOLEANS, true, 'true'),
    affinity: choose(AFFINITY, AFFINITIES, 'none', 'none'),
  }
  const algorithm = choose<Algorithm | undefined>(ALGORITHM, ALGORITHMS, undefined, 'the configured algorithm')
  const forwarding = choose<Forwarding | undefined>(FORWARDING, FORWARDINGS, undefined, 'the configured mode')
  const sourceRangePolicy = choose(SOURCE_RANGES, SOURCE_RANGE_POLICIES, 'allow', 'allow')
  return { mesh, algorithm, forwarding, sourceRangePolicy, problems }
}
