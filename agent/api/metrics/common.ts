import type { Problem } from '../../types/problem.ts'
import type { Sample } from './metric.ts'
import { counter, gauge, sample } from './metric.ts'

const TARGET = 'target'

/** What every program of weft has. */
export const COMMON_METRICS = {
  build: gauge('weft_build_info', 'Always 1; which version runs.', 'version', 'cluster'),
  problems: gauge('weft_problems', 'What status complains about; absent codes are no problem.', 'code'),
} as const

/** What is kept as it is to be, for every target. */
export const TARGET_METRICS = {
  desired: gauge('weft_reconciler_desired_entries', 'Entries that a target is to hold.', TARGET),
  actual: gauge('weft_reconciler_actual_entries', 'Entries that a target holds as far as is known.', TARGET),
  pending: gauge('weft_reconciler_pending_entries', 'Entries that differ and are still to be written.', TARGET),
  failing: gauge('weft_reconciler_failing_entries', 'Entries that could not be written; they are tried again.', TARGET),
  audits: counter('weft_reconciler_audits_total', 'How often a target was read again and compared.', TARGET),
  drift: counter(
    'weft_reconciler_drift_repaired_total',
    'Entries that audits found otherwise than they were left, and repaired.',
    TARGET,
  ),
} as const

export const READY_METRIC = gauge('weft_ready', '1 when /readyz says so.')

export type TargetNumbers = Readonly<Record<keyof typeof TARGET_METRICS, number>>

export function buildSample(version: string, cluster: string): Sample {
  return sample(COMMON_METRICS.build, 1, { version, cluster })
}

export function* problemSamples(problems: readonly Problem[]): Generator<Sample> {
  const counts = new Map<string, number>()
  for (const { code } of problems) counts.set(code, (counts.get(code) ?? 0) + 1)
  for (const [code, count] of counts) yield sample(COMMON_METRICS.problems, count, { code })
}

export function* targetSamples(targets: readonly ({ readonly name: string } & TargetNumbers)[]): Generator<Sample> {
  for (const { name: target, ...numbers } of targets) {
    for (const each of ['desired', 'actual', 'pending', 'failing', 'audits', 'drift'] as const) {
      yield sample(TARGET_METRICS[each], numbers[each], { target })
    }
  }
}
