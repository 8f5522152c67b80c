/** A cell is a line of text, or several lines under each other; the row grows with its highest cell. */
export type Cell = string | readonly string[]

export interface TableOptions {
  /** Spaces in front of every line. */
  readonly indent?: number
  /** Least width of a column, padding included. */
  readonly minWidth?: number
  readonly padding?: number
}

/** Columns without borders, as kubectl and cilium print them; each line ends with a newline and has no trailing spaces. */
export function formatTable(
  header: readonly Cell[],
  rows: readonly (readonly Cell[])[],
  options: TableOptions = {},
): string {
  return formatColumns([header, ...rows], options)
}

/** The same without a header. */
export function formatColumns(rows: readonly (readonly Cell[])[], options: TableOptions = {}): string {
  const { indent = 0, minWidth = 5, padding = 3 } = options
  const lines = rows.flatMap(toLines)
  const widths: number[] = []
  for (const line of lines) {
    line.forEach((text, column) => {
      widths[column] = Math.max(widths[column] ?? minWidth, width(text) + padding)
    })
  }
  const margin = ' '.repeat(indent)
  return lines
    .map((line) => `${margin}${line.map((text, i) => pad(text, widths[i]!)).join('')}`.trimEnd() + '\n')
    .join('')
}

function toLines(row: readonly Cell[]): string[][] {
  const cells = row.map((cell) => (typeof cell === 'string' ? [cell] : cell))
  const height = Math.max(1, ...cells.map((cell) => cell.length))
  return Array.from({ length: height }, (_, line) => cells.map((cell) => cell[line] ?? ''))
}

function pad(text: string, to: number): string {
  return text + ' '.repeat(Math.max(0, to - width(text)))
}

/** Code points, not UTF-16 units: names may hold any. */
function width(text: string): number {
  let n = 0
  for (const _ of text) n++
  return n
}

/** Any value on one line: text as it is, everything else as JSON. */
export function scalar(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}
