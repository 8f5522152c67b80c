import { type Mode, Roads } from './roads.ts'

/** What is at the node's uplinks, and whether devices finish checksums: those at the ends of the roads, and the node's. */
export interface Way {
  readonly mode: Mode
  readonly ends: 'on' | 'off'
  readonly node: 'on' | 'off'
}

export const OFFLOADED: Way = { mode: 'tc', ends: 'on', node: 'on' }
/** Frames come unfinished, and the node has to finish them. */
export const HALF_OFFLOADED: Way = { mode: 'tc', ends: 'on', node: 'off' }
export const PLAIN: Way = { mode: 'tc', ends: 'off', node: 'off' }
export const XDP: Way = { mode: 'xdp', ends: 'off', node: 'off' }
export const BOTH: Way = { mode: 'both', ends: 'off', node: 'off' }

/** Those that differ in what the programs do to a packet's bytes. */
export const WAYS: readonly Way[] = [OFFLOADED, PLAIN, XDP, BOTH]

/** For `describe.each`. */
export const AT_WAY = 'at $mode, checksum offload $ends at the ends, $node at the node'

export function roadsOf({ mode, ends, node }: Way): Roads {
  const roads = new Roads(mode)
  roads.offload(ends, node)
  return roads
}

/** With servers at the backend and in the pod. */
export async function servedRoads(way: Way): Promise<Roads> {
  const roads = roadsOf(way)
  await roads.serve()
  return roads
}
