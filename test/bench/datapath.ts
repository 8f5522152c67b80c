import type { Address } from '../../agent/types/address.ts'
import type { Service } from '../../agent/types/service.ts'
import type { BpfMap, BpfProgram, RodataValue } from '../../native/index.ts'
import type { Result } from './report.ts'
import { desiredFrontends } from '../../agent/desired/frontends.ts'
import { systemClock } from '../../agent/lib/clock.ts'
import { encoded } from '../../agent/maps/codec.ts'
import { ENDPOINT_MAP, endpointKey, endpointValue } from '../../agent/maps/endpoint.ts'
import { SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import { parseAddress } from '../../agent/types/address.ts'
import { BpfObject } from '../../native/index.ts'
import { build } from '../bpf/packet.ts'
import { interleave, median } from './measure.ts'
import { built, pinned } from './place.ts'
import { ns, result } from './report.ts'
import { backendRow, Balancer, LB_MAPS, serviceRow, snapshotOf } from './world.ts'

/** Short rounds, so that most of them meet no interruption: 1 M packets in all, fewer where each makes a flow. */
const ROUNDS = 200
const REPEAT = 5000
const REPEAT_NEW = 1000
/** Flows that fill the table, which holds two entries for each: from then on every new one throws out an old one. */
const FILL = 600_000
const CLIENT = '192.168.7.7'
const SNAT = '192.168.7.1'
const XDP_PASS = 2
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
  /** Backends are pods of this node. */
  readonly local: boolean
  readonly track: boolean
  readonly newFlows: boolean
}

const base = {
  against: 'floor',
  algorithm: 'random',
  backends: 10,
  local: false,
  track: true,
  newFlows: false,
} as const

const CASES: readonly Case[] = [
  { ...base, id: 'D1', what: 'pick and rewrite, no state', goal: 1.3, service: '10.99.0.1', track: false },
  {
    ...base,
    id: 'D2',
    what: 'the same with Maglev 16381',
    goal: 1.4,
    service: '10.99.0.2',
    track: false,
    algorithm: 'maglev',
    backends: 100,
  },
  { ...base, id: 'D3', what: 'known flow, DNAT, hot', goal: 3, service: '10.99.0.3', local: true },
  { ...base, id: 'D4', what: 'known flow, DNAT + SNAT, hot', goal: 1.1, against: 'D3', service: '10.99.0.4' },
  { ...base, id: 'D6', what: 'new flow with its state', goal: 15, service: '10.99.0.5', local: true, newFlows: true },
  { ...base, id: 'D6s', what: 'the same with SNAT', goal: 30, service: '10.99.0.6', backends: 100, newFlows: true },
]

export const DATAPATH_IDS = CASES.map((each) => each.id)

/** Runs the shipped XDP path on packets without any device; each case beside the hand-written floor. */
export async function benchDatapath(ids: ReadonlySet<string>): Promise<Result[]> {
  const wanted = CASES.filter((each) => ids.has(each.id) || CASES.some((c) => ids.has(c.id) && c.against === each.id))
  using bench = new Bench()
  for (const [n, each] of wanted.entries()) await bench.addService(each, n)
  const programs = wanted.map((each) => ({ each, programs: bench.load(each) }))
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
  readonly packet: Buffer
}

async function measure(
  cases: readonly { each: Case; programs: Programs }[],
  ids: ReadonlySet<string>,
): Promise<Result[]> {
  const things: Record<string, () => number> = {}
  for (const { each, programs } of cases) {
    const { packet } = programs
    const repeat = each.newFlows ? REPEAT_NEW : REPEAT
    const time = (program: BpfProgram, count: number) => () =>
      program.testRun({ data: packet, repeat: count }).durationNs
    if (each.newFlows) time(programs.ours, FILL)()
    things[`${each.id} plain`] = time(programs.plain, REPEAT)
    things[`${each.id} own`] = time(programs.own, repeat)
    things[`${each.id} floor`] = time(programs.floor, REPEAT)
    things[each.id] = time(programs.ours, repeat)
  }
  const raw: Record<string, readonly number[]> = await interleave(ROUNDS, things)
  // The kernel's loop and putting the headers back are the benchmark's own work, not the load balancer's.
  const net = (thing: string, own: string): number => median(raw[thing]!) - median(raw[own]!)
  return cases
    .filter(({ each }) => ids.has(each.id))
    .map(({ each }) => {
      const ours = net(each.id, `${each.id} own`)
      const floor =
        each.against === 'floor'
          ? net(`${each.id} floor`, `${each.id} plain`)
          : net(each.against, `${each.against} own`)
      return result({
        id: each.id,
        what: each.what,
        measured: ours / floor,
        goal: each.goal,
        against: `${each.against} ${ns(floor)}`,
        detail: `${ns(ours)} a packet, the loop's ${ns(median(raw[`${each.id} own`]!))} taken off`,
      })
    })
}

/** A benchmark of the wrong path is worse than none: the packet must come out as the case says. */
function prove(each: Case, programs: Programs): void {
  for (let run = 0; run < 2; run++) {
    const { retval, data } = programs.ours.testRun({ data: programs.packet })
    const verdict = each.local ? XDP_PASS : XDP_REDIRECT
    const from = data.readUInt32BE(26)
    const to = data.readUInt32BE(30)
    const snat = each.track && !each.local
    const right = retval === verdict && to !== address(each.service) && (from === address(SNAT)) === snat
    if (!right) throw new Error(`${each.id}: verdict ${retval}, ${from.toString(16)} > ${to.toString(16)}`)
  }
}

/** One set of maps for all cases, and one loaded object for each. */
class Bench {
  readonly #objects: BpfObject[] = []
  readonly #maps: Record<string, BpfMap> = {}
  readonly #balancer: Balancer

  constructor() {
    const first = this.#open({})
    for (const name of first.mapNames) if (name.startsWith('w_')) this.#maps[name] = first.map(name)
    const map = (name: keyof typeof LB_MAPS): BpfMap => this.#maps[LB_MAPS[name].name]!
    this.#balancer = new Balancer(
      { services: map('services'), slots: map('slots'), backends: map('backends'), reverse: map('reverse') },
      systemClock,
    )
  }

  async addService(each: Case, n: number): Promise<void> {
    const tables = createTables()
    const writer = new Writer(tables, new SyncGates())
    const service = serviceRow(n, {
      type: 'LoadBalancer',
      clusterIPs: [address('10.98.0.1')],
      loadBalancerIPs: [address(each.service)],
      algorithm: each.algorithm,
    })
    const set = backendRow(service, n, 100)
    const endpoints = set.endpoints.slice(0, each.backends)
    writer.upsertService(service)
    writer.upsertBackends({ ...set, endpoints })
    const { frontends } = desiredFrontends(snapshotOf(tables), service.name)
    await this.#balancer.set(frontends.filter((frontend) => frontend.type === 'LoadBalancer'))
    if (!each.local) return
    const value = encoded(endpointValue, { identity: 0, isHost: false })
    for (const { address: pod } of endpoints) this.#maps[ENDPOINT_MAP.name]!.update(encoded(endpointKey, pod), value)
  }

  load(each: Case): Programs {
    const packet = build({ src: CLIENT, dst: each.service, flags: each.newFlows ? 'S' : 'A', sport: 40000 })
    const object = this.#open({
      cfg_track_flows: each.track,
      cfg_test_ifindex: 1,
      cfg_snat_addr: networkOrder(address(SNAT)),
      bench_saddr: packet.readUInt32LE(26),
      bench_daddr: packet.readUInt32LE(30),
      bench_sport: packet.readUInt16LE(34),
      bench_dport: packet.readUInt16LE(36),
      bench_ip_check: packet.readUInt16LE(24),
      bench_l4_check: packet.readUInt16LE(50),
      bench_ttl: packet[22]!,
    })
    const suffix = each.newFlows ? '_new' : ''
    return {
      plain: object.program('bench_restore'),
      own: object.program(`bench_restore${suffix}`),
      floor: object.program('bench_floor'),
      ours: object.program(`bench_uplink${suffix}`),
      packet,
    }
  }

  #open(rodata: Readonly<Record<string, RodataValue>>): BpfObject {
    const object = BpfObject.open(built('datapath.o'), { rodata, reuseMaps: this.#maps }).load()
    this.#objects.push(object)
    return object
  }

  [Symbol.dispose](): void {
    this.#balancer.close()
    for (const map of Object.values(this.#maps)) map.close()
    for (const object of this.#objects) {
      for (const name of object.programNames) object.program(name).close()
      object.close()
    }
  }
}

function address(text: string): Address {
  return parseAddress(text)!
}

function networkOrder(value: number): number {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes.readUInt32LE()
}
