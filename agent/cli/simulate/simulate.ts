import { reasonName } from '../../maps/drop-reasons.ts'
import type { DryAnswer } from '../../maps/dry-run.ts'
import { dryRunInput, dryRunOutput } from '../../maps/dry-run.ts'
import { formatAddress } from '../../types/address.ts'
import type { OpenMap } from '../bpf/pins.ts'
import { protocolName } from '../bpf/format.ts'
import { explainDrop, explainStranger } from './explain.ts'
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
  /** `forwarded`: out by a device or into a tunnel; `to-stack`: this node takes it; `not-ours`: left as it is. */
  readonly verdict: 'forwarded' | 'to-stack' | 'dropped' | 'not-ours' | 'left-to-tc'
  /** Whether the packet belongs to a flow that is known. */
  readonly flow: 'known' | 'new' | 'none'
  readonly frontend?: FrontendReport
  readonly backend?: BackendReport
  /** The packet as it would leave. */
  readonly becomes?: { readonly source: string; readonly destination: string }
  readonly path?: {
    readonly device?: string
    readonly nextHop?: string
    readonly neighbour?: string
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
  const known = maps.flow(packet, trial.now)
  const sent = buildFrame(packet, place.mac, flags)
  const result = place.program.testRun(dryRunInput(kind, sent, place.ifindex))
  const { frame, answer } = dryRunOutput(kind, result)

  const isNew = answer.serviceId !== 0
  const frontend = isNew || known === undefined ? maps.frontend(packet) : maps.frontendOf(known.serviceId)
  const backendId = isNew ? answer.backendId : answer.isOurs ? known?.backendId : undefined
  const verdict = verdictOf(kind, result.retval, answer)
  const leaves = verdict === 'forwarded' || (verdict === 'to-stack' && answer.isOurs)
  const common = {
    ...{ hook, interface: place.device, protocol: protocolName(packet.protocol) },
    ...{ source: endpoint(packet, 'source'), destination: endpoint(packet, 'destination') },
    verdict,
    flow: isNew ? ('new' as const) : answer.isOurs && known !== undefined ? ('known' as const) : ('none' as const),
    ...(frontend === undefined ? {} : { frontend }),
    ...(backendId === undefined || backendId === 0 ? {} : { backend: maps.backend(backendId) }),
  }
  if (verdict === 'dropped') {
    const told = answer.answered === undefined ? undefined : `${answer.answered.type}/${answer.answered.code}`
    const reason = reasonName(answer.reason)
    return {
      ...common,
      reason,
      ...(told === undefined ? {} : { told: TOLD[told] ?? `ICMP ${told}` }),
      notes: explainDrop(maps, packet, reason, frontend),
    }
  }
  if (!leaves) return { ...common, notes: explainStranger(maps, packet, frontend, answer.isLeft) }
  return { ...common, ...outcome(trial, frame, answer, verdict, isNew, frontend) }
}

function verdictOf(kind: 'tc' | 'xdp', retval: number, answer: DryAnswer): Simulation['verdict'] {
  if (retval === DROP[kind]) return 'dropped'
  if (answer.isLeft) return 'left-to-tc'
  if (retval !== PASS[kind]) return 'forwarded'
  return answer.isOurs ? 'to-stack' : 'not-ours'
}

function outcome(
  trial: Trial,
  frame: Buffer,
  answer: DryAnswer,
  verdict: Simulation['verdict'],
  isNew: boolean,
  frontend: FrontendReport | undefined,
): Pick<Simulation, 'becomes' | 'path' | 'notes'> {
  const { packet: after, node, mac, sourceMac } = readFrame(frame)
  const notes: string[] = []
  const choices = frontend?.active.length ?? 0
  if (isNew && frontend?.algorithm === 'random' && choices > 1 && frontend.affinitySeconds === 0) {
    notes.push(`one of ${choices} backends, by chance: the next packet may get another`)
  }
  if (isNew && after.source !== trial.packet.source) {
    notes.push("the source port is the client's; if it is taken, another is looked for when the flow is made")
  }
  const becomes = { source: endpoint(after, 'source'), destination: endpoint(after, 'destination') }
  if (verdict === 'to-stack') return { becomes, path: { ...tunnel(node) }, notes }
  if (answer.device !== 0) {
    notes.push(
      "the next hop's hardware address is not known yet: the kernel asks for it and keeps the packet meanwhile",
    )
    return {
      becomes,
      path: { ...tunnel(node), device: nameOf(trial.links, answer.device), nextHop: nextHop(answer) },
      notes,
    }
  }
  const device = trial.links.find(({ address }) => address === sourceMac)?.ifname
  return { becomes, path: { ...tunnel(node), ...(device === undefined ? {} : { device }), neighbour: mac }, notes }
}

function tunnel(node: Packet['destination'] | undefined): { node?: string } {
  return node === undefined ? {} : { node: formatAddress(node) }
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
