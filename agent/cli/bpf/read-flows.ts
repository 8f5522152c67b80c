import { FLOW_FLAGS, FLOW_MAPS, flowKey, flowValue } from '../../maps/flow.ts'
import type { FlowTuple } from '../../maps/flow.ts'
import { formatAddress } from '../../types/address.ts'
import { protocolName } from '../../types/service.ts'
import type { FlowRow } from './format.ts'
import type { OpenMap } from './pins.ts'

const FLAG_NAMES: readonly (readonly [flag: number, name: string])[] = [
  [FLOW_FLAGS.SNAT, 'snat'],
  [FLOW_FLAGS.LOCAL, 'local'],
  [FLOW_FLAGS.ESTABLISHED, 'established'],
  [FLOW_FLAGS.FIN_SELF, 'fin-self'],
  [FLOW_FLAGS.FIN_TWIN, 'fin-twin'],
  [FLOW_FLAGS.RST, 'rst'],
  [FLOW_FLAGS.DSR, 'dsr'],
  [FLOW_FLAGS.DSR_INFO, 'dsr-info'],
  [FLOW_FLAGS.MASQ, 'masq'],
  [FLOW_FLAGS.CLIENT_HERE, 'client-here'],
  [FLOW_FLAGS.HAIRPIN, 'hairpin'],
  [FLOW_FLAGS.DIRECT, 'direct'],
]

/** Flag bits in words. */
export function flowFlags(bits: number): string[] {
  return FLAG_NAMES.filter(([flag]) => (bits & flag) !== 0).map(([, name]) => name)
}

/** All flows, both entries of each; `now` is CLOCK_MONOTONIC in seconds, the datapath's clock. */
export function readFlows(open: OpenMap, now: number): FlowRow[] {
  const rows: FlowRow[] = []
  for (const map of FLOW_MAPS) {
    const { keys, values, count } = open(map.name).dump()
    for (let i = 0; i < count; i++) {
      const key = flowKey.decode(keys, i * flowKey.size)
      const value = flowValue.decode(values, i * flowValue.size)
      rows.push({
        protocol: protocolName(key.protocol),
        direction: (value.flags & FLOW_FLAGS.REV) === 0 ? 'forward' : 'reverse',
        ...tuple(key, 'source', 'destination'),
        ...tuple(value, 'newSource', 'newDestination'),
        serviceId: value.serviceId,
        backendId: value.backendId,
        flags: flowFlags(value.flags),
        expiresIn: value.expires - now,
      })
    }
  }
  return rows.sort(
    (a, b) => a.serviceId - b.serviceId || compare(a.direction, b.direction) || compare(a.source, b.source),
  )
}

function tuple<S extends string, D extends string>(from: FlowTuple, source: S, destination: D): Record<S | D, string> {
  return {
    [source]: `${formatAddress(from.source)}:${from.sourcePort}`,
    [destination]: `${formatAddress(from.destination)}:${from.destinationPort}`,
  } as Record<S | D, string>
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
