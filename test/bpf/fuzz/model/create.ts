import type { FlowKeyFields, FlowTuple } from '../../../../agent/maps/flow.ts'
import { freshFlow, isClosing, isOver, mirrored, sameTuple, turned, twinOf } from './flows.ts'
import type { Packet } from './parse.ts'
import type { Address } from '../../../../agent/types/address.ts'
import { type Flow, type FlowKind, flowName, type State } from './state.ts'

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

/** A flow but for its port. */
export interface Wanted {
  readonly kind: FlowKind
  readonly source: Address
  readonly destination: Address
  readonly destinationPort: number
  readonly serviceId: number
  readonly backendId: number
}

/** Makes both entries; undefined when no source port is left. */
export function createFlow(
  state: State,
  packet: Packet,
  wanted: Wanted,
  now: number,
  observed: Observed,
): Flow | undefined {
  const { source, destination, destinationPort, serviceId, backendId, kind } = wanted
  if (source === 0) return undefined
  const becomes = (sourcePort: number): FlowTuple => ({ source, sourcePort, destination, destinationPort })
  const port = findPort(state, packet, becomes, now, observed)
  if (port === undefined) return undefined
  const to = becomes(port)
  return addPair(state, freshFlow({ key: packet.key, to, kind, serviceId, backendId, last: now }, packet))
}

/** Both entries, in place of others under the same tuples. */
export function addPair(state: State, flow: Flow): Flow {
  const answer = mirrored(flow)
  state.flows.set(flowName(answer.key), answer)
  state.flows.set(flowName(flow.key), flow)
  return flow
}

/**
 * The flow of what leaves, or reaches a pod. One that its answering side closed is forgotten when that side accepts another
 * connection.
 */
export function standing(state: State, packet: Packet, now: number): Flow | undefined {
  const flow = state.flows.get(flowName(packet.key))
  if (flow === undefined || isOver(flow, now)) return undefined
  if (!packet.syn || !packet.ack || !flow.reverse || !(flow.finSelf || flow.reset)) return flow
  forget(state, flow)
  return undefined
}

/** The flow that had this tuple before, if nothing of it may stay. */
export function forget(state: State, old: Flow | undefined): void {
  if (old === undefined) return
  const twin = twinOf(state, old.key, old.to)
  if (twin !== undefined) state.flows.delete(flowName(twin.key))
  state.flows.delete(flowName(old.key))
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
  const { portMin, portMax } = state.settings
  const own = packet.key.sourcePort
  const inRange = own >= portMin && own <= portMax
  const ownAddress = becomes(0).source === packet.key.source
  if ((ownAddress || inRange) && isFree(state, packet, becomes(own), now, ownAddress)) return own

  const found = observed.flow(packet.key)?.to
  const port = found?.sourcePort
  const fits = found !== undefined && port !== undefined && sameTuple(found, becomes(port))
  if (fits && port >= portMin && port <= portMax && isFree(state, packet, becomes(port), now, false)) return port

  // None: then no try can have found one. With at most as many ports as tries, each was tried.
  if (portMax - portMin < TRIES) {
    for (let i = portMin; i <= portMax; i++) {
      if (isFree(state, packet, becomes(i), now, false)) throw new Error(`port ${i} is free and was not found`)
    }
  }
  return undefined
}
