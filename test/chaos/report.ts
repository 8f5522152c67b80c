import { describeFault, type Fault } from './schedule.ts'
import type { StormResult } from './storm.ts'

const SHOWN = 20
/** What began this long before something was lost, or lasted until then, is shown with it. */
const BEFORE_MS = 20_000

/** The numbers of a storm, and of one that failed what was lost, what differs, and what happened then. */
export function report(seed: number, ms: number, result: StormResult): string {
  const { faults, writes, verdicts, lost, differences, settledMs } = result
  const told = ['answered', 'proof', 'young', 'unreachable', 'own', 'lost'] as const
  const lines = [
    `seed ${seed}, ${ms / 1000} s: ${writes} keys changed, ${faults.length} faults, ${requestsOf(result)} requests`,
    `requests: ${told.map((verdict) => `${verdict} ${verdicts[verdict] ?? 0}`).join(', ')}`,
    `${differences.length} differences ${(settledMs / 1000).toFixed(1)} s after the last fault`,
  ]
  const kinds = new Map<string, number>()
  for (const { kind } of faults) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  lines.push([...kinds].map(([kind, count]) => `${kind} ${count}`).join(', '))
  if (lost.length > 0) lines.push('lost:')
  for (const { at, answer } of lost.slice(0, SHOWN)) {
    const took = (answer.end - answer.start).toFixed()
    lines.push(`${(at / 1000).toFixed(1).padStart(6)} s  ${answer.route}: ${answer.outcome} after ${took} ms`)
  }
  if (lost.length > SHOWN) lines.push(`… and ${lost.length - SHOWN} more`)
  if (lost.length > 0) lines.push('faults around them:', ...around(faults, lost).map(describeFault))
  if (differences.length > 0) lines.push('differences:', ...differences.slice(0, SHOWN))
  if (differences.length > SHOWN) lines.push(`… and ${differences.length - SHOWN} more`)
  if (lost.length + differences.length > 0)
    lines.push(
      `to repeat it: make chaos SEED=${seed} DURATION=${ms / 1000}${result.kvstoremesh ? ' KVSTOREMESH=1' : ''}`,
    )
  return lines.join('\n')
}

function around(faults: readonly Fault[], lost: StormResult['lost']): Fault[] {
  return faults.filter((fault) =>
    lost.slice(0, SHOWN).some(({ at, answer }) => {
      const end = at + answer.end - answer.start
      return fault.at <= end && fault.at + fault.ms >= at - BEFORE_MS
    }),
  )
}

export function requestsOf({ verdicts }: StormResult): number {
  return Object.values(verdicts).reduce((sum, count) => sum + count, 0)
}
