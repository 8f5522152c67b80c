import { reasonName } from '../../maps/drop-reasons.ts'
import type { DryAnswer } from '../../maps/dry-run.ts'
import { dryRunInput, dryRunOutput } from '../../maps/dry-run.ts'
import type { FlowValueFields } from '../../maps/flow.ts'
import { formatAddress } from '../../types/address.ts'
import { protocolName } from '../../types/service.ts'
import type { OpenMap } from '../bpf/pins.ts'
import { flowFlags } from '../bpf/read-flows.ts'
import { explainChange, explainDrop, explainStranger, explainWay } from './explain.ts'
import type { Packet } from './frame.ts'
import { buildFrame, readFrame } from './frame.ts'
import type { HookName, Link, Place } from './hooks.ts'
import { HOOKS } from './hooks.ts'
import type { BackendReport, FrontendReport } from './state.ts'
import { MapState } from './state.ts'

/** What would become of a packet. */
export interface Simulation {
  readonly hook: HookName
  readonly interface: string
  readonly protocol: string
  readonly source: string
  readonly destination: string
  /**
   * `forwarded`: out by a device or into a tunnel; `to-stack`: this node takes it; `not-ours`: left as it is; `not-followed`:
   * another node has encapsulated it.
   */
  readonly verdict: 'forwarded' | 'to-stack' | 'dropped' | 'not-ours' | 'left-to-tc' | 'not-followed'
  /** Whether the packet belongs to a flow that is known, or would make one. */
  readonly flow: 'known' | 'new' | 'none'
  /** Of a known flow; `expiresIn` in seconds. */
  readonly known?: { readonly flags: readonly string[]; readonly expiresIn: number }
  readonly frontend?: FrontendReport
  readonly backend?: BackendReport
  /** The packet as it would leave. */
  readonly becomes?: { readonly source: string; readonly destination: string }
  readonly path?: {
    readonly device?: string
    readonly nextHop?: string
    readonly neighbour?: string
    /** It goes there encapsulated. */
    readonly node?: string
  }
  /** Of a drop, as in `weft bpf metrics list`. */
  readonly reason?: string
  /** What the sender would be told by ICMP. */
  readonly told?: string
  /** Why, and what to do about it. */
  readonly notes: readonly string[]
}

export interface Trial {
  readonly packet: Packet
  readonly flags: number
  readonly hook: HookName
  readonly place: Place
  readonly links: readonly Link[]
  /** CLOCK_MONOTONIC, seconds. */
  readonly now: number
}

/** Where the stack sends a packet; and our program there, if there is one. */
export interface Way {
  readonly device: string
  readonly egress?: Place
}

const TOLD: Readonly<Record<string, string>> = {
  '3/3': 'port unreachable',
  '3/4': 'fragmentation needed',
  '11/0': 'time exceeded',
}
const PASS = { tc: 0, xdp: 2 } as const
const DROP = { tc: 2, xdp: 1 } as const

/** Sends the packet through the loaded program as a dry run, and explains the outcome by what the maps hold. */
export function simulate(open: OpenMap, trial: Trial): Simulation {
  const { packet, hook, place, flags } = trial
  const { kind } = HOOKS[hook]
  const maps = new MapState(open)
  const found = maps.flow(packet, trial.now)
  const result = place.program.testRun(dryRunInput(kind, buildFrame(packet, place.mac, flags), place.ifindex))
  const { frame, answer } = dryRunOutput(kind, result)

  const known = answer.isNew || !answer.isOurs ? undefined : found
  const id = answer.isNew ? answer.serviceId : (known?.serviceId ?? 0)
  const frontend = id === 0 ? maps.frontend(packet, hook !== 'ingress' && hook !== 'xdp') : maps.frontendOf(id)
  const backendId = answer.isNew ? answer.backendId : (known?.backendId ?? 0)
  const verdict = verdictOf(hook, result.retval, answer)
  const common = {
    ...{ hook, interface: place.device, protocol: protocolName(packet.protocol) },
    ...{ source: endpoint(packet, 'source'), destination: endpoint(packet, 'destination') },
    verdict,
    ...{ flow: answer.isNew ? ('new' as const) : known === undefined ? ('none' as const) : ('known' as const) },
    ...(known === undefined ? {} : { known: knownFlow(known, trial.now) }),
    ...(frontend === undefined ? {} : { frontend }),
    ...(backendId === 0 ? {} : { backend: maps.backend(backendId) }),
  }
  const gone = found === undefined || known !== undefined ? [] : explainChange(maps, found, answer.isNew, flags)
  if (verdict === 'dropped') {
    const told = answer.answered === undefined ? undefined : `${answer.answered.type}/${answer.answered.code}`
    const reason = reasonName(answer.reason)
    return {
      ...common,
      reason,
      ...(told === undefined ? {} : { told: TOLD[told] ?? `ICMP ${told}` }),
      notes: [...gone, ...explainDrop(maps, packet, reason, frontend)],
    }
  }
  if (verdict === 'forwarded' || verdict === 'to-stack') {
    const { packet: after, ...outer } = readFrame(frame)
    const becomes = { source: endpoint(after, 'source'), destination: endpoint(after, 'destination') }
    const path = pathOf(trial, outer, answer, verdict, result.retval === PASS[kind])
    const notes = explainWay({ hook, packet, after, answer, frontend, known, path, interface: place.device })
    return { ...common, becomes, path, notes: [...gone, ...notes] }
  }
  const left = verdict === 'not-ours' ? undefined : verdict
  return { ...common, notes: [...gone, ...explainStranger(maps, { packet, hook, frontend, found, left })] }
}

/** What the packet of a pod is for the program at the device by which the stack sends it on. */
export function simulateOn(open: OpenMap, trial: Trial, first: Simulation, after: Packet, way: Way): Simulation {
  const routed = { ...first, path: { ...first.path, device: way.device } }
  if (way.egress === undefined) return routed
  const second = simulate(open, { ...trial, packet: after, hook: 'egress', place: way.egress })
  if (second.verdict === 'not-ours') return routed
  const { hook, interface: device, source, destination } = first
  const service = first.flow === 'none' ? second : first
  return {
    ...second,
    ...{ hook, interface: device, source, destination, flow: service.flow },
    ...(service.known === undefined ? {} : { known: service.known }),
    ...(service.frontend === undefined ? {} : { frontend: service.frontend }),
    ...(service.backend === undefined ? {} : { backend: service.backend }),
    notes: [...(first.verdict === 'not-ours' ? [] : first.notes), ...second.notes],
  }
}

function knownFlow(flow: FlowValueFields, now: number): NonNullable<Simulation['known']> {
  return { flags: flowFlags(flow.flags), expiresIn: flow.expires - now }
}

function verdictOf(hook: HookName, retval: number, answer: DryAnswer): Simulation['verdict'] {
  const { kind } = HOOKS[hook]
  if (retval === DROP[kind]) return 'dropped'
  if (answer.isLeft) return kind === 'xdp' ? 'left-to-tc' : 'not-followed'
  if (retval !== PASS[kind]) return 'forwarded'
  if (!answer.isOurs) return 'not-ours'
  return hook === 'egress' ? 'forwarded' : 'to-stack'
}

function pathOf(
  { hook, links, place }: Trial,
  { node, mac, sourceMac }: Omit<ReturnType<typeof readFrame>, 'packet'>,
  answer: DryAnswer,
  verdict: Simulation['verdict'],
  passes: boolean,
): NonNullable<Simulation['path']> {
  const tunnel = node === undefined ? {} : { node: formatAddress(node) }
  if (verdict === 'to-stack') return tunnel
  if (hook === 'egress' && passes) return { ...tunnel, device: place.device }
  if (answer.device !== 0) return { ...tunnel, device: nameOf(links, answer.device), nextHop: nextHop(answer) }
  const device = links.find(({ address }) => address === sourceMac)?.ifname
  if (hook === 'pod' && device === place.device) return { ...tunnel, device }
  return { ...tunnel, ...(device === undefined ? {} : { device }), neighbour: mac }
}

function nameOf(links: readonly Link[], index: number): string {
  return links.find(({ ifindex }) => ifindex === index)?.ifname ?? String(index)
}

/** A program's number of network order. */
function nextHop({ nextHop: word }: DryAnswer): string {
  return [0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff).join('.')
}

function endpoint(packet: Packet, end: 'source' | 'destination'): string {
  return `${formatAddress(packet[end])}:${packet[`${end}Port`]}`
}
