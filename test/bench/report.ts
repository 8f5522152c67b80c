/** One comparison. `measured`, `goal`: how many times the floor or peer, unless `unit` says otherwise. */
export interface Result {
  /** As in the design's table: `D3`, `E1@10000`. */
  readonly id: string
  readonly what: string
  readonly measured: number
  /** The floor or peer, with its own figure of the same run. */
  readonly against: string
  /** Infinity: none is set. */
  readonly goal: number
  readonly ok: boolean
  /** `×`, or the unit of an absolute goal. */
  readonly unit: string
  /** Absolute figures of this run, for people: they mean nothing on another machine. */
  readonly detail: string
  /** Where the time goes; shown when the goal is missed. */
  readonly profile: string
}

export interface Measurement {
  readonly id: string
  readonly what: string
  readonly measured: number
  readonly against: string
  /** Infinity: none is set. */
  readonly goal: number
  readonly detail: string
  readonly unit?: string
  readonly profile?: string
}

/** A goal counts to the two digits that are shown. */
export function result(from: Measurement): Result {
  const measured = Math.round(from.measured * 1000) / 1000
  const ok = Math.round(measured * 100) <= Math.round(from.goal * 100)
  return { ...from, measured, ok, unit: from.unit ?? '×', profile: from.profile ?? '' }
}

const HEADERS = ['ID', 'WHAT', 'MEASURED', 'GOAL', '', 'AGAINST', 'FIGURES']

/** A table, then where the time goes for each goal that was missed. */
export function render(results: readonly Result[]): string {
  const number = (value: number, unit: string): string =>
    unit === '×' ? value.toFixed(2) : `${value.toFixed(2)} ${unit}`
  const rows = results.map((each) => [
    each.id,
    each.what,
    number(each.measured, each.unit),
    Number.isFinite(each.goal) ? `≤ ${number(each.goal, each.unit)}` : '',
    Number.isFinite(each.goal) ? (each.ok ? 'ok' : 'MISSED') : '',
    each.against,
    each.detail,
  ])
  const widths = HEADERS.map((header, i) => Math.max(header.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd()
  const missed = results.filter((each) => !each.ok)
  const notes = missed.map((each) => `${each.id} missed: ${each.profile || 'no profile was taken'}`)
  return [line(HEADERS), ...rows.map(line), ...(notes.length > 0 ? ['', ...notes] : []), ''].join('\n')
}

export const ns = (value: number): string => `${value.toFixed(value < 100 ? 1 : 0)} ns`
export const us = (nanoseconds: number): string => `${(nanoseconds / 1000).toFixed(1)} µs`
export const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ms`
