import { type MaglevSeed, packetSlot4, parseMaglevSeed } from '../../../../agent/desired/maglev.ts'
import type { Protocol } from '../../../../agent/types/service.ts'
import type { Observed } from './create.ts'
import type { Packet } from './parse.ts'
import { affinityName, type Service, type SourceRange, type State } from './state.ts'

const SEED: MaglevSeed = parseMaglevSeed('JLfvgnHc2kaSUFaI')
/** In larger services a remembered backend is not searched for. */
const SEARCHED = 64

/** Whether a client is in one of the service's ranges; or in none of those that it denies. */
export function admits(state: State, service: Service, client: number): boolean {
  if (!service.flags.has('SRC_CHECK')) return true
  const within = ({ serviceId, range }: SourceRange): boolean =>
    serviceId === service.id && Math.floor((client - range.address) / 2 ** (32 - range.bits)) === 0
  return state.ranges.some(within) !== service.flags.has('SRC_DENY')
}

/** Whether a service gives a backend to new connections. */
export function mayChoose(state: State, service: Service | undefined, backendId: number): boolean {
  const backend = state.backends.get(backendId)
  if (service === undefined || backend === undefined) return false
  return service.backends.length > SEARCHED ? backend.active : service.backends.includes(backendId)
}

/** The backend's id for a packet of a new flow; undefined where there is none to choose. */
export function choose(
  state: State,
  service: Service,
  packet: Packet,
  now: number,
  observed: Observed,
): number | undefined {
  if (service.backends.length === 0) return undefined
  const sticky = service.flags.has('AFFINITY')
  const name = affinityName(packet.source, service.id)
  const remembered = sticky ? state.affinities.get(name) : undefined
  if (remembered !== undefined && now - remembered.last < service.affinitySeconds) {
    const { backendId } = remembered
    if (mayChoose(state, service, backendId)) {
      remembered.last = now
      return backendId
    }
  }
  const id =
    service.maglev === undefined ? anyOf(state, service, packet, observed) : fromTable(service.maglev, packet, sticky)
  if (sticky && id !== undefined) state.affinities.set(name, { last: now, backendId: id })
  return id
}

function fromTable(table: readonly number[], packet: Packet, sticky: boolean): number {
  const { source, sourcePort, destinationPort, protocol } = packet.key
  const tuple = {
    source,
    sourcePort: sticky ? 0 : sourcePort,
    port: destinationPort,
    protocol: protocol as Protocol,
  }
  return table[packetSlot4(tuple, SEED, table.length)]!
}

/** At random: all are equally right, so it is what the program chose, if that is one of them. */
function anyOf(state: State, service: Service, packet: Packet, observed: Observed): number | undefined {
  const { backends } = service
  const chosen = service.flags.has('AFFINITY')
    ? observed.affinity(packet.source, service.id)
    : chosenFor(state, backends, packet, observed)
  return chosen !== undefined && backends.includes(chosen) ? chosen : backends[0]
}

/** Whoever was refused met a backend that is gone. */
function chosenFor(state: State, backends: readonly number[], packet: Packet, observed: Observed): number | undefined {
  const gone = backends.find((id) => !state.backends.has(id))
  if (gone !== undefined && observed.refused()) return gone
  return observed.flow(packet.key)?.backendId
}
