import type { FlowKeyFields, FlowTuple } from '../../../../agent/maps/flow.ts'
import { freshFlow, isClosing, isOver, mirrored, sameTuple, turned } from './flows.ts'
import type { Packet } from './parse.ts'
import { type Backend, type Flow, flowName, type State } from './state.ts'

const TRIES = 32

/** What the program did, where the walk leaves it a choice. */
export interface Observed {
  /** The entry that a packet with this tuple finds now. */
  flow(key: FlowKeyFields): { readonly to: FlowTuple; readonly backendId: number; readonly last: number } | undefined
  /** The backend that a client is remembered with now. */
  affinity(client: number, serviceId: number): number | undefined
  /** Whether it counted that there was no backend. */
  refused(): boolean
}

export interface Wanted {
  readonly serviceId: number
  readonly backendId: number
  readonly backend: Backend
  readonly here: boolean
}

/** Makes both entries; undefined when no source port is left. */
export function createFlow(
  state: State,
  packet: Packet,
  wanted: Wanted,
  now: number,
  observed: Observed,
): Flow | undefined {
  const { backend, here } = wanted
  const source = here ? packet.source : state.settings.snat
  if (source === 0) return undefined
  const becomes = (sourcePort: number): FlowTuple => ({
    source,
    sourcePort,
    destination: backend.address,
    destinationPort: backend.port,
  })
  const port = findPort(state, packet, becomes, now, observed)
  if (port === undefined) return undefined
  const { serviceId, backendId } = wanted
  const init = {
    key: packet.key,
    to: becomes(port),
    serviceId,
    backendId,
    reverse: false,
    here,
    last: now,
    created: now,
  }
  const flow = freshFlow(init, packet)
  const answer = mirrored(flow)
  state.flows.set(flowName(answer.key), answer)
  state.flows.set(flowName(flow.key), flow)
  return flow
}

/** Whether an answer under this port would be told from those of all other flows. */
function isFree(state: State, packet: Packet, to: FlowTuple, now: number, closingToo: boolean): boolean {
  const { protocol } = packet.key
  const held = state.flows.get(flowName(turned(to, protocol)))
  if (held === undefined || isOver(held, now) || (closingToo && isClosing(held))) return true
  return sameTuple(turned(held.to, protocol), packet.key)
}

/** The client's own if it may be kept; else any in the range that is free, which the program says. */
function findPort(
  state: State,
  packet: Packet,
  becomes: (port: number) => FlowTuple,
  now: number,
  observed: Observed,
): number | undefined {
  const { portMin, portMax, snat } = state.settings
  const own = packet.key.sourcePort
  const inRange = own >= portMin && own <= portMax
  const ownAddress = becomes(0).source === packet.source
  if ((ownAddress || inRange) && isFree(state, packet, becomes(own), now, ownAddress)) return own

  const found = observed.flow(packet.key)?.to
  const port = found?.sourcePort
  const fits = found !== undefined && port !== undefined && sameTuple(found, becomes(port))
  if (fits && port >= portMin && port <= portMax && isFree(state, packet, becomes(port), now, false)) return port

  // None: then no try can have found one. With at most as many ports as tries, each was tried.
  if (portMax - portMin < TRIES) {
    for (let i = portMin; i <= portMax; i++) {
      if (isFree(state, packet, becomes(i), now, false))
        throw new Error(`port ${i} of ${snat} is free and was not found`)
    }
  }
  return undefined
}
