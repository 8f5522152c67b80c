import { UsageError } from './errors.ts'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `1h2m3s`, `250ms`: milliseconds. @throws UsageError */
export function parseDuration(text: string): number {
  const matches = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  if (matches.length === 0 || matches.map((match) => match[0]).join('') !== text) {
    throw new UsageError(`not a duration: ${text}`, 'write it like 30s, 15m or 1h30m')
  }
  return matches.reduce((sum, match) => sum + Number(match[1]) * UNITS[match[2]!]!, 0)
}

/** Whole seconds as `45s`, `1m3s`, `2h0m5s`. */
export function formatDuration(seconds: number): string {
  const total = Math.max(0, Math.floor(seconds))
  const h = Math.floor(total / 3600)
  const m = Math.floor((total % 3600) / 60)
  const s = total % 60
  if (h > 0) return `${h}h${m}m${s}s`
  return m > 0 ? `${m}m${s}s` : `${s}s`
}
