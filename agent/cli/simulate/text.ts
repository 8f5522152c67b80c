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
    ['Flow:', flow(result)],
  ]
  if (frontend !== undefined) {
    const counts = `${frontend.active.length} selectable, ${frontend.kept.length} kept`
    rows.push([
      'Frontend:',
      `${frontend.address} id ${frontend.id} [${frontend.flags.join(', ')}] ${frontend.algorithm}, ${counts}`,
    ])
  }
  for (const each of frontend?.kept ?? []) rows.push(['Kept:', `${each.address ?? 'gone'} id ${each.id} ${each.state}`])
  if (backend !== undefined) rows.push(['Backend:', `${backend.address ?? 'gone'} id ${backend.id} ${backend.state}`])
  if (becomes !== undefined) rows.push(['Becomes:', `${becomes.source} -> ${becomes.destination}`])
  rows.push(['Verdict:', verdict(result)])
  return formatColumns(rows, { padding: 1 }) + result.notes.map((note) => `note: ${note}\n`).join('')
}

function flow({ flow, known }: Simulation): string {
  if (known === undefined) return flow
  const flags = known.flags.length === 0 ? '' : ` [${known.flags.join(', ')}]`
  return `${flow}${flags}, for another ${known.expiresIn} s`
}

function verdict({ verdict, path, reason, told }: Simulation): string {
  switch (verdict) {
    case 'dropped':
      return `dropped (${reason ?? ''})${told === undefined ? '' : `, the sender is told: ${told}`}`
    case 'not-ours':
      return path?.device === undefined ? 'left as it is' : `left as it is; the stack routes it to ${path.device}`
    case 'not-followed':
      return 'for this node, encapsulated'
    case 'left-to-tc':
      return 'left to the program at tc'
    case 'to-stack':
      return path?.device === undefined
        ? 'delivered by the stack of this node'
        : `routed by the stack of this node, to ${path.device}`
    case 'forwarded': {
      const node = path?.node === undefined ? '' : `, encapsulated to node ${path.node}`
      const hop = path?.nextHop === undefined ? (path?.neighbour ?? '') : `${path.nextHop}, not resolved yet`
      return `forwarded by ${path?.device ?? 'a device'}${hop === '' ? '' : ` to ${hop}`}${node}`
    }
  }
}
