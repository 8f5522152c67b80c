import { formatColumns } from '../table.ts'
import type { Simulation } from './simulate.ts'

/** For people: a line per fact, the outcome last but for the notes. */
export function renderSimulation(result: Simulation): string {
  const { frontend, backend, becomes } = result
  const rows: [string, string][] = [
    [
      'Packet:',
      `${result.protocol} ${result.source} -> ${result.destination} at ${result.hook} of ${result.interface}`,
    ],
    ['Flow:', result.flow],
  ]
  if (frontend !== undefined) {
    const counts = `${frontend.active.length} selectable, ${frontend.kept.length} kept`
    rows.push([
      'Frontend:',
      `${frontend.address} id ${frontend.id} [${frontend.flags.join(', ')}] ${frontend.algorithm}, ${counts}`,
    ])
  }
  if (backend !== undefined) rows.push(['Backend:', `${backend.address ?? 'gone'} id ${backend.id} ${backend.state}`])
  if (becomes !== undefined) rows.push(['Becomes:', `${becomes.source} -> ${becomes.destination}`])
  rows.push(['Verdict:', verdict(result)])
  return formatColumns(rows, { padding: 1 }) + result.notes.map((note) => `note: ${note}\n`).join('')
}

function verdict({ verdict, path, reason, told }: Simulation): string {
  switch (verdict) {
    case 'dropped':
      return `dropped (${reason ?? ''})${told === undefined ? '' : `, the sender is told: ${told}`}`
    case 'not-ours':
      return 'left as it is'
    case 'left-to-tc':
      return 'left to the program at tc'
    case 'to-stack':
      return 'delivered by the stack of this node'
    case 'forwarded': {
      const node = path?.node === undefined ? '' : `, encapsulated to node ${path.node}`
      const hop = path?.nextHop === undefined ? (path?.neighbour ?? '') : `${path.nextHop}, not resolved yet`
      return `forwarded by ${path?.device ?? 'a device'} to ${hop}${node}`
    }
  }
}
