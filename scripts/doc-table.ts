/** A Markdown table, padded as prettier does it, so that formatting the page changes nothing. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |\n`
  return line(head) + line(widths.map((width) => '-'.repeat(width))) + rows.map(line).join('')
}

export function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``
}

/** `text` with what stands between `<!-- NAME: KEY -->` and `<!-- end -->` made anew. */
export function between(text: string, name: string, make: (key: string) => string): string {
  const marks = new RegExp(`(<!-- ${name}: (\\S+) -->\\n)[\\s\\S]*?(<!-- end -->)`, 'g')
  return text.replace(marks, (_, open: string, key: string, close: string) => `${open}\n${make(key)}\n${close}`)
}
