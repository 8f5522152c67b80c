import type { BpfMap, BpfObject } from '../../native/index.ts'
import type { FlowValueFields } from '../../agent/maps/flow.ts'
import type { Address } from '../../agent/types/address.ts'
import type { Result } from './report.ts'
import { encoded } from '../../agent/maps/codec.ts'
import { FLOW_TCP_MAP, flowKey, flowValue } from '../../agent/maps/flow.ts'
import { build } from '../bpf/packet.ts'
import { address, Loaded } from './loaded.ts'
import { interleave, median } from './measure.ts'
import { fromEnvironment, pinned } from './place.ts'
import { ns, result } from './report.ts'

const SERVICE = '10.99.0.1'
const CLIENT = '192.168.7.7'
const CLIENT_PORT = 40000
const SERVICE_PORT = 80
const TCP = 6
const ROUNDS = 20
const REPEAT = 25_000
/** Two entries for each flow, and room for what is on its way out. */
const ENTRIES_PER_FLOW = 2.5
/** A prime far from every size that is asked for. */
const STRIDE = 611_953n

/** As in state.bpf.c. */
const KEPT = 1000
/** The others are idle from before the flood until after it. */
const SPEAKING = 500
const KEPT_CLIENTS = 0x0c000000
/** SYNs between two packets of a flow that speaks, one each way: at a million a second it sends ten. */
const BETWEEN = 100_000

export const STATE_IDS = ['S1', 'S2']

/** What many flows cost, and whether a flood of them harms those that live. */
export async function benchState(ids: ReadonlySet<string>): Promise<Result[]> {
  return [...(ids.has('S1') ? await manyFlows() : []), ...(ids.has('S2') ? [await synFlood()] : [])]
}

function packet(flags: string): Buffer {
  return build({ src: CLIENT, dst: SERVICE, flags, sport: CLIENT_PORT, dport: SERVICE_PORT })
}

function timer(object: BpfObject, data: Buffer, repeat: number): (program: string) => () => number {
  return (program) => () => object.program(program).testRun({ data, repeat }).durationNs
}

async function manyFlows(): Promise<Result[]> {
  const flows = fromEnvironment('BENCH_FLOWS', 1_000_000)
  using bench = new Loaded('state.o', { [FLOW_TCP_MAP.name]: Math.ceil(flows * ENTRIES_PER_FLOW) })
  await bench.addService({ service: SERVICE, algorithm: 'random', backends: 100, at: 'here' }, 0)
  using few = new Loaded('state.o')
  await few.addService({ service: SERVICE, algorithm: 'random', backends: 100, at: 'here' }, 0)
  const data = packet('A')
  const rodata = { bench_flows: BigInt(flows), bench_stride: STRIDE }
  const many = bench.open({ packet: data, rodata, ownFlows: false })
  const alone = few.open({ packet: data, ownFlows: false })
  return await pinned(async () => {
    const made = timer(many, data, flows)('bench_uplink_many')()
    const time = timer(many, data, REPEAT)
    const samples = await interleave(ROUNDS, {
      loop: time('bench_restore'),
      loopMany: time('bench_restore_many'),
      alone: timer(alone, data, REPEAT)('bench_uplink'),
      hot: time('bench_uplink'),
      cold: time('bench_uplink_many'),
    })
    const [alone1, hot, cold] = [
      median(samples.alone) - median(samples.loop),
      median(samples.hot) - median(samples.loop),
      median(samples.cold) - median(samples.loopMany),
    ]
    timer(many, data, flows)('bench_miss_many')()
    const missed = Number(many.map('bench_missed').lookup(Buffer.alloc(4))!.readBigUInt64LE())
    return [
      result({
        id: 'S1@hot',
        what: `known flow beside ${flows} others`,
        measured: hot / alone1,
        goal: 1.1,
        against: `alone ${ns(alone1)}`,
        detail: ns(hot),
      }),
      result({
        id: 'S1@cold',
        what: `one of ${flows} flows after the other`,
        measured: cold / alone1,
        goal: Infinity,
        against: `alone ${ns(alone1)}`,
        detail: `${ns(cold)}; made for ${ns(made - median(samples.loopMany))}`,
      }),
      result({
        id: 'S1@lost',
        what: `of ${flows} flows, not in the table any more`,
        measured: missed,
        goal: 0,
        unit: 'flows',
        against: 'none',
        detail: '',
      }),
    ]
  })
}

async function synFlood(): Promise<Result> {
  const syns = fromEnvironment('BENCH_SYNS', 10_000_000)
  using bench = new Loaded('state.o')
  await bench.addService({ service: SERVICE, algorithm: 'random', backends: 100, at: 'elsewhere' }, 0)
  const [data, syn] = [packet('A'), packet('S')]
  const object = bench.open({ packet: data, ownFlows: false })
  const run = (program: string, input: Buffer, repeat: number): number =>
    object.program(program).testRun({ data: input, repeat }).durationNs
  for (const opening of [syn, data]) run('bench_keep_client', opening, KEPT)
  const flows = object.map(FLOW_TCP_MAP.name)
  const before = keptFlows(flows)
  answer(object.map('bench_answers'), before)
  const missing = (): number => {
    const now = keptFlows(flows)
    return before.filter((flow, n) => !isSame(flow, now[n])).length
  }
  let lost = 0
  const costs: number[] = []
  for (let done = 0; done < syns; done += BETWEEN) {
    costs.push(run('bench_flood', syn, Math.min(BETWEEN, syns - done)))
    lost = Math.max(lost, missing())
    run('bench_speak_client', data, SPEAKING)
    run('bench_speak_backend', data, SPEAKING)
  }
  // Whoever is still in the table goes on as before.
  run('bench_keep_client', data, KEPT)
  run('bench_keep_backend', data, KEPT)
  lost = Math.max(lost, missing())
  return result({
    id: 'S2',
    what: `of ${KEPT} established flows, ${KEPT - SPEAKING} of them idle, lost in a flood of ${syns} SYNs`,
    measured: lost,
    goal: 0,
    unit: 'flows',
    against: 'none',
    detail: `${ns(median(costs))} a SYN`,
    profile: `${SPEAKING} flows send a packet each way for every ${BETWEEN} SYNs`,
  })
}

function keptFlows(map: BpfMap): (FlowValueFields | undefined)[] {
  return Array.from({ length: KEPT }, (_, n) => {
    const tuple = {
      source: (KEPT_CLIENTS + n) as Address,
      destination: address(SERVICE),
      sourcePort: CLIENT_PORT,
      destinationPort: SERVICE_PORT,
    }
    const value = map.lookup(encoded(flowKey, { ...tuple, protocol: TCP }))
    return value === undefined ? undefined : flowValue.decode(value)
  })
}

/** Still with its backend, under its port. */
function isSame(before: FlowValueFields | undefined, now: FlowValueFields | undefined): boolean {
  return (
    before !== undefined &&
    now !== undefined &&
    before.destination === now.destination &&
    before.sourcePort === now.sourcePort &&
    before.backendId === now.backendId
  )
}

function answer(map: BpfMap, flows: readonly (FlowValueFields | undefined)[]): void {
  const index = Buffer.alloc(4)
  for (const [n, flow] of flows.entries()) {
    if (flow === undefined) throw new Error(`flow ${n} is not in the table`)
    index.writeUInt32LE(n)
    const key = {
      source: flow.destination,
      destination: flow.source,
      sourcePort: flow.destinationPort,
      destinationPort: flow.sourcePort,
      protocol: TCP,
    }
    map.update(index, encoded(flowKey, key))
  }
}
