import type { Service } from '../../agent/types/service.ts'
import type { BpfProgram } from '../../native/index.ts'
import type { Place } from './loaded.ts'
import type { Measurement, Result } from './report.ts'
import { build } from '../bpf/packet.ts'
import { address, Loaded, SNAT } from './loaded.ts'
import { interleave, median } from './measure.ts'
import { pinned } from './place.ts'
import { ns, result } from './report.ts'

/**
 * 1 M packets, 120 000 new flows in all, for which the table of those that open has room. Not in more and shorter rounds: a
 * test run of XDP waits twice for all CPUs to leave the old program, some 20 ms.
 */
const ROUNDS = 40
const REPEAT = 25_000
const REPEAT_NEW = 3000
const STEP_ROUNDS = 9
/** Flows that fill the table, which holds two entries for each: from then on every new one throws out an old one. */
const FILL = 300_000
const CLIENT = '192.168.7.7'
const GENEVE_PORT = 6081
const GENEVE_ROOM = 50
const XDP_PASS = 2
const XDP_TX = 3
const XDP_REDIRECT = 4

interface Case {
  readonly id: string
  readonly what: string
  readonly goal: number
  /** `floor`, or the id of another case. */
  readonly against: string
  readonly service: string
  readonly algorithm: Service['algorithm']
  readonly backends: number
  /** Backends are pods of this node, pods elsewhere, or pods of a node that takes DSR. */
  readonly at: Place
  readonly track: boolean
  /** Each packet is a new flow's, while the table has room, or when each throws out an old one. */
  readonly newFlows: false | 'room' | 'full'
  /** Programs that end after each step. */
  readonly steps: readonly (readonly [label: string, program: string])[]
}

const STATELESS = [
  ['parse', 'step_parse'],
  ['service lookup', 'step_service'],
  ['selection', 'step_select'],
  ['rewrite', 'step_rewrite'],
] as const
const KNOWN = [
  ['parse', 'step_parse'],
  ['flow lookup', 'step_flow'],
] as const
const NEW = [
  ['flow lookup without a hit', 'step_flow_new'],
  ['one of two inserts', 'step_insert_new'],
] as const

const base = {
  against: 'floor',
  algorithm: 'random',
  backends: 10,
  at: 'elsewhere',
  track: true,
  newFlows: false,
  steps: KNOWN,
} as const

const CASES: readonly Case[] = [
  {
    ...base,
    id: 'D1',
    what: 'pick and rewrite, no state',
    goal: 1.3,
    service: '10.99.0.1',
    track: false,
    steps: STATELESS,
  },
  {
    ...base,
    id: 'D2',
    what: 'the same with Maglev 16381',
    goal: 1.4,
    service: '10.99.0.2',
    track: false,
    algorithm: 'maglev',
    backends: 100,
    steps: STATELESS,
  },
  { ...base, id: 'D3', what: 'known flow, DNAT, hot', goal: 3, service: '10.99.0.3', at: 'here' },
  { ...base, id: 'D4', what: 'known flow, DNAT + SNAT, hot', goal: 1.1, against: 'D3', service: '10.99.0.4' },
  { ...base, id: 'D5', what: 'known flow, DSR-Geneve', goal: 1.5, against: 'D3', service: '10.99.0.9', at: 'dsr' },
  ...newFlowCases('D6', 'new flow with its state', { goal: 15, at: 'here', services: ['10.99.0.5', '10.99.0.6'] }),
  ...newFlowCases('D6s', 'new flow with SNAT', { goal: 30, at: 'elsewhere', services: ['10.99.0.7', '10.99.0.8'] }),
]

/** LRU tables forget nothing by themselves: a node that has seen enough flows is in the second case for ever. */
function newFlowCases(
  id: string,
  what: string,
  { goal, at, services }: { goal: number; at: Place; services: readonly [string, string] },
): Case[] {
  const common = { ...base, goal, at, backends: 100, steps: NEW }
  return [
    { ...common, id, what, service: services[0], newFlows: 'room' },
    { ...common, id: `${id}-full`, what: `${what}, table full`, service: services[1], newFlows: 'full' },
  ]
}

export const DATAPATH_IDS = CASES.map((each) => each.id).filter((id) => !id.endsWith('-full'))

/** Runs the shipped XDP path on packets without any device; each case beside the hand-written floor. */
export async function benchDatapath(ids: ReadonlySet<string>): Promise<Result[]> {
  const isWanted = (each: Case): boolean => ids.has(each.id.replace('-full', ''))
  const wanted = CASES.filter((each) => isWanted(each) || CASES.some((c) => isWanted(c) && c.against === each.id))
  using bench = new Loaded('datapath.o')
  for (const [n, each] of wanted.entries()) await bench.addService(each, n)
  const programs = wanted.map((each) => ({ each, programs: load(bench, each) }))
  for (const { each, programs: own } of programs) prove(each, own)
  return await pinned(() => measure(programs, ids))
}

interface Programs {
  /** Puts the headers back; the floor does, too. */
  readonly plain: BpfProgram
  /** Puts the headers back as `ours` does. */
  readonly own: BpfProgram
  readonly floor: BpfProgram
  readonly ours: BpfProgram
  readonly steps: readonly (readonly [label: string, program: BpfProgram])[]
  readonly packet: Buffer
}

async function measure(
  cases: readonly { each: Case; programs: Programs }[],
  ids: ReadonlySet<string>,
): Promise<Result[]> {
  const time = (program: BpfProgram, packet: Buffer, repeat: number) => () =>
    program.testRun({ data: packet, repeat }).durationNs
  const { floor, plain, packet } = cases[0]!.programs
  const things: Record<string, () => number> = {
    plain: time(plain, packet, REPEAT),
    floor: time(floor, packet, REPEAT),
  }
  for (const { each, programs } of cases) {
    const repeat = each.newFlows ? REPEAT_NEW : REPEAT
    if (each.newFlows === 'full') time(programs.ours, programs.packet, FILL)()
    things[each.id] = time(programs.ours, programs.packet, repeat)
    if (programs.own !== programs.plain) things[`${each.id} own`] = time(programs.own, programs.packet, repeat)
  }
  const raw: Record<string, readonly number[]> = await interleave(ROUNDS, things)
  // The kernel's loop and putting the headers back are the benchmark's own work, not the load balancer's.
  const own = (id: string): number => median(raw[`${id} own`] ?? raw['plain']!)
  const net = (id: string): number => median(raw[id]!) - own(id)
  const results: Result[] = []
  for (const { each, programs } of cases) {
    if (!ids.has(each.id.replace('-full', ''))) continue
    const ours = net(each.id)
    const base = net(each.against)
    const measured: Measurement = {
      id: each.id,
      what: each.what,
      measured: ours / base,
      goal: each.goal,
      against: `${each.against} ${ns(base)}`,
      detail: `${ns(ours)} a packet, the loop's ${ns(own(each.id))} taken off`,
    }
    results.push(
      result(measured.measured > each.goal ? { ...measured, profile: await profile(programs, ours) } : measured),
    )
  }
  return results
}

/** What each step adds, up to all of it. */
async function profile(programs: Programs, total: number): Promise<string> {
  const time = (program: BpfProgram) => () => program.testRun({ data: programs.packet, repeat: REPEAT_NEW }).durationNs
  const things = Object.fromEntries(programs.steps.map(([label, program]) => [label, time(program)]))
  const costs: Record<string, readonly number[]> = await interleave(STEP_ROUNDS, { ...things, own: time(programs.own) })
  let before = 0
  const parts = programs.steps.map(([label]) => {
    const until = median(costs[label]!) - median(costs['own']!)
    const part = `${label} ${ns(until - before)}`
    before = until
    return part
  })
  return `of ${ns(total)}: ${[...parts, `the rest ${ns(total - before)}`].join(', ')}`
}

/** A benchmark of the wrong path is worse than none: the packet must come out as the case says. */
function prove(each: Case, programs: Programs): void {
  if (each.at === 'dsr') return proveDsr(each, programs)
  for (let run = 0; run < 2; run++) {
    const { retval, data } = programs.ours.testRun({ data: programs.packet })
    const verdicts = each.at === 'here' ? [XDP_PASS] : [XDP_TX, XDP_REDIRECT]
    const from = data.readUInt32BE(26)
    const to = data.readUInt32BE(30)
    const snat = each.track && each.at !== 'here'
    const right = verdicts.includes(retval) && to !== address(each.service) && (from === address(SNAT)) === snat
    if (!right) throw new Error(`${each.id}: verdict ${retval}, ${from.toString(16)} > ${to.toString(16)}`)
  }
}

/** The flow begins with a SYN, as flows do: what follows does not say which service was asked. */
function proveDsr(each: Case, { ours, packet }: Programs): void {
  ours.testRun({ data: build({ src: CLIENT, dst: each.service, flags: 'S', sport: 40000 }) })
  const { retval, data } = ours.testRun({ data: packet })
  const right = [XDP_TX, XDP_REDIRECT].includes(retval) && data.readUInt16BE(36) === GENEVE_PORT
  if (!right || data.length !== packet.length + GENEVE_ROOM) {
    throw new Error(`${each.id}: verdict ${retval}, ${data.length} bytes`)
  }
}

function load(bench: Loaded, each: Case): Programs {
  const packet = build({ src: CLIENT, dst: each.service, flags: each.newFlows ? 'S' : 'A', sport: 40000 })
  // A table of its own, of the shipped size, where flows are counted.
  const object = bench.open({
    packet,
    rodata: { cfg_track_flows: each.track, bench_len: packet.length },
    ownFlows: each.newFlows !== false,
  })
  const suffix = each.newFlows ? '_new' : each.at === 'dsr' ? '_dsr' : ''
  return {
    plain: object.program('bench_restore'),
    own: object.program(`bench_restore${suffix}`),
    floor: object.program('bench_floor'),
    ours: object.program(`bench_uplink${suffix}`),
    steps: each.steps.map(([label, name]) => [label, object.program(name)] as const),
    packet,
  }
}
