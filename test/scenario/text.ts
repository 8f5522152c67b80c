/**
 * Listings as the commands print them, brought to a form in which two of them can be compared: ids, widths of columns and the
 * order of rows do not count, everything else does.
 */

/** `weft service list`: one paragraph per frontend. */
export function normalServices(listing: string): string {
  const frontends: string[][] = []
  for (const line of listing.split('\n')) {
    if (line.trim() === '' || /^ID\s+Frontend\b/.test(line)) continue
    const words = line.trim().split(/\s+/)
    if (/^\s/.test(line)) frontends.at(-1)?.push(words.join(' '))
    else {
      const [, address, type, ...backend] = words
      frontends.push([`${address} ${type}`, ...(backend.length === 0 ? [] : [backend.join(' ')])])
    }
  }
  return frontends
    .map(([head, ...backends]) => [head, ...backends.map((backend) => `  ${backend}`)].join('\n'))
    .sort()
    .join('\n')
}

/** `weft bpf lb list`: a line per service and slot, service ids left out. */
export function normalSlots(listing: string): string {
  const lines = listing.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('SERVICE ADDRESS'))
  return lines
    .map((line) =>
      line
        .trim()
        .replace(/\s+/g, ' ')
        .replace(/\(\d+\) (\(\d+\)(?: \[|$))/, '(id) $1'),
    )
    .sort()
    .join('\n')
}

/** Any table with a header: cells between `|`, the column of ids left out. */
export function normalTable(listing: string): string {
  const [header = [], ...rows] = listing
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => line.trim().split(/\s{2,}/))
  const id = header.indexOf('ID')
  return rows
    .map((row) => row.filter((_, column) => column !== id).join(' | '))
    .sort()
    .join('\n')
}
