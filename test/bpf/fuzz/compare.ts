import { affinityKey, affinityValue, AFFINITY_MAP } from '../../../agent/maps/affinity.ts'
import { FLOW_FLAGS, type FlowKeyFields, type FlowTuple, type FlowValueFields } from '../../../agent/maps/flow.ts'
import { FragKey, FragVal, MAPS } from '../../../agent/maps/layout.gen.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import { fold } from './model/checksum.ts'
import { isClosing, sameTuple, turned } from './model/flows.ts'
import { fragmentName } from './model/parse.ts'
import { affinityName, type Flow, flowName, type State } from './model/state.ts'
import { isMisplaced } from '../maps.ts'
import type { Node } from './node.ts'

/** Everything in which the maps differ from what the model remembers. */
export function differences(state: State, node: Node): string[] {
  const until = node.world.maps.clientsHereUntil()
  const clients = { got: new Map([['', String(until)]]), wanted: new Map([['', String(state.clientsHereUntil)]]) }
  return [
    ...flowDifferences(state, node),
    ...fragmentDifferences(state, node),
    ...affinityDifferences(state, node),
    ...differing('clients here until', clients.got, clients.wanted),
  ]
}

function flowDifferences(state: State, node: Node): string[] {
  const got = new Map<string, string>()
  for (const [key, value, table] of node.world.maps.flows()) {
    const wrong = isMisplaced(key, value, table) ? ` in ${table}` : got.has(flowName(key)) ? ' twice' : ''
    got.set(flowName(key), flowLine(key, value) + wrong)
  }
  const wanted = new Map([...state.flows].map(([name, flow]) => [name, flowLine(flow.key, valueOf(flow))]))
  return differing('flow', got, wanted)
}

function fragmentDifferences(state: State, node: Node): string[] {
  const got = new Map<string, string>()
  for (const [key, value] of node.world.map(MAPS.w_frag4_v1.name).entries()) {
    const [source, destination] = [key.readUInt32BE(FragKey.saddr), key.readUInt32BE(FragKey.daddr)]
    const name = fragmentName(source, destination, key.readUInt16BE(FragKey.id), key.readUInt8(FragKey.proto))
    got.set(name, `${value.readUInt16BE(FragVal.sport)}>${value.readUInt16BE(FragVal.dport)}`)
  }
  const wanted = new Map([...state.fragments].map(([name, { sport, dport }]) => [name, `${sport}>${dport}`]))
  return differing('fragment', got, wanted)
}

function affinityDifferences(state: State, node: Node): string[] {
  const got = new Map<string, string>()
  for (const [key, value] of node.world.map(AFFINITY_MAP.name).entries()) {
    const { client, serviceId } = affinityKey.decode(key)
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(client)
    const { last, backendId } = affinityValue.decode(value)
    got.set(affinityName(bytes.readUInt32BE(0), serviceId), `${backendId} at ${last}`)
  }
  const wanted = new Map([...state.affinities].map(([name, at]) => [name, `${at.backendId} at ${at.last}`]))
  return differing('affinity', got, wanted)
}

export function differing(
  what: string,
  got: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): string[] {
  const names = [...new Set([...got.keys(), ...wanted.keys()])].filter((name) => got.get(name) !== wanted.get(name))
  return names.map((name) => `${what} ${name}: ${got.get(name) ?? 'none'}, expected ${wanted.get(name) ?? 'none'}`)
}

function flagsOf(flow: Flow): number {
  const set: readonly (readonly [boolean, number])[] = [
    [flow.reverse, FLOW_FLAGS.REV],
    [flow.kind === 'snat' || flow.kind === 'masquerade', FLOW_FLAGS.SNAT],
    [flow.kind === 'local', FLOW_FLAGS.LOCAL],
    [flow.kind === 'dsr', FLOW_FLAGS.DSR],
    [flow.tells, FLOW_FLAGS.DSR_INFO],
    [flow.kind === 'masquerade', FLOW_FLAGS.MASQ],
    [flow.kind === 'inside', FLOW_FLAGS.CLIENT_HERE],
    [flow.kind === 'hairpin', FLOW_FLAGS.HAIRPIN],
    [flow.kind === 'direct', FLOW_FLAGS.DIRECT],
    [flow.established, FLOW_FLAGS.ESTABLISHED],
    [flow.finSelf, FLOW_FLAGS.FIN_SELF],
    [flow.finTwin, FLOW_FLAGS.FIN_TWIN],
    [flow.reset, FLOW_FLAGS.RST],
  ]
  return set.reduce((bits, [on, bit]) => (on ? bits | bit : bits), 0)
}

type Comparable = Omit<FlowValueFields, 'addressDiff' | 'portDiff'> & {
  readonly addressDiff?: number
  readonly portDiff?: number
}

function valueOf(flow: Flow): Comparable {
  const { serviceId, backendId, expires, last, created } = flow
  return { ...flow.to, serviceId, backendId, expires, last, created, flags: flagsOf(flow) }
}

function ends({ source, destination, sourcePort, destinationPort }: FlowTuple): string {
  return `${formatAddress(source)}:${sourcePort}>${formatAddress(destination)}:${destinationPort}`
}

function flowLine(key: FlowKeyFields, value: Comparable): string {
  const flags = Object.entries(FLOW_FLAGS).flatMap(([name, bit]) => ((value.flags & bit) === 0 ? [] : [name]))
  const { serviceId, backendId, expires, last, created } = value
  const times = `${created} ${last} ${expires}`
  const sums = areSumsRight(key, value) ? '' : ' WRONG SUMS'
  return `=> ${ends(value)} ${flags.join(' ')} service ${serviceId} backend ${backendId} times ${times}${sums}`
}

/** Differences are noted as the words lie in memory: the other way round. By DSR the source stays. */
function areSumsRight(key: FlowTuple, value: Comparable): boolean {
  if (value.addressDiff === undefined || value.portDiff === undefined) return true
  const source = (value.flags & FLOW_FLAGS.DSR) === 0 ? value.source : key.source
  const halves = (address: number): number => (address >>> 16) + (address & 0xffff)
  const addresses = halves(source) + halves(value.destination)
  const before = halves(key.source) + halves(key.destination)
  const ports = value.sourcePort + value.destinationPort
  const beforePorts = key.sourcePort + key.destinationPort
  return isDifference(value.addressDiff, before, addresses) && isDifference(value.portDiff, beforePorts, ports)
}

function isDifference(noted: number, before: number, after: number): boolean {
  const swapped = ((noted & 255) << 8) | (noted >>> 8)
  return fold(before + swapped) % 65535 === fold(after) % 65535
}

/**
 * Requests whose answer would not be known, though nothing was thrown out and nobody else has the tuple. One that closes may
 * have lost it to the client's next, and that one may have gone.
 */
export function halves(state: State, now: number): string[] {
  return [...state.flows.values()]
    .filter(
      (flow) =>
        !flow.reverse &&
        flow.kind !== 'dsr' &&
        flow.expires > now &&
        !isClosing(flow) &&
        !state.flows.has(flowName(turned(flow.to, flow.key.protocol))),
    )
    .map((flow) => `half a flow: ${flowName(flow.key)}`)
}

function ownsAnswer(state: State, { key, to }: Flow): boolean {
  const answered = state.flows.get(flowName(turned(to, key.protocol)))
  return answered !== undefined && sameTuple(turned(answered.to, key.protocol), key)
}

/** Two live flows must not leave under one tuple. One that closes may lose its own to the client's next. */
export function collisions(state: State, now: number): string[] {
  const seen = new Map<string, Flow>()
  const found: string[] = []
  for (const flow of state.flows.values()) {
    if (flow.reverse || flow.kind === 'dsr' || flow.expires <= now || isClosing(flow)) continue
    const name = flowName({ ...flow.to, protocol: flow.key.protocol })
    const other = seen.get(name)
    if (other !== undefined && ownsAnswer(state, flow))
      found.push(`two flows leave as ${name}: ${flowName(flow.key)}, ${flowName(other.key)}`)
    seen.set(name, flow)
  }
  return found
}
