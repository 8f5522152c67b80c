/**
 * Runs alone in a mount namespace of its own (see connect.ts), so that its network namespaces, bpffs and pins go with it.
 * Prints one JSON line per number of services.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { Address } from '../../agent/types/address.ts'
import { desiredFrontends } from '../../agent/desired/frontends.ts'
import { systemClock } from '../../agent/lib/clock.ts'
import { SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import { Datapath } from '../../agent/targets/programs.ts'
import { parseAddress } from '../../agent/types/address.ts'
import { BpfLink, BpfProgram, enterNetns, ifIndex } from '../../native/index.ts'
import { built, BUILD, pinned } from './place.ts'
import { backendRow, Balancer, endpoint, LB_MAPS, rows, serviceRow, snapshotOf } from './world.ts'

export interface ConnectRequest {
  /** Scratch directory; empty. */
  readonly directory: string
  /** cgroup2 directories: one with our socket programs, one without. */
  readonly cgroups: { readonly weft: string; readonly plain: string }
  readonly services: readonly number[]
  readonly ways: readonly Way[]
}

export type Way = 'socket' | 'nodeport'

export interface ConnectReply {
  readonly services: number
  readonly way: Way
  /** Median of each round in ns: without weft, and with it. */
  readonly plain: readonly number[]
  readonly weft: readonly number[]
  /** What each of our programs cost per connection, set-up and end included. */
  readonly programs: string
}

const ROUNDS = 60
const BATCH = 60
const PROFILE_ROUNDS = 10
const BACKEND = '10.72.0.5'
const BACKEND_PORT = 8080
const CLUSTER_IP = '10.99.1.1'
const NODE_PORT = 30080
const WEFT_NODE = '10.71.1.2'
const SNAT = '10.71.3.2'

/**
 * Two equal ways from a client to a backend, over a node with weft and over one without:
 *
 * ```
 *            ┌─ up0 weft  up1 ─┐
 *   client ──┤                 ├── backend (10.72.0.5)
 *            └─ up0 plain up1 ─┘
 * ```
 */
const WIRING = `
link add up0 netns weft type veth peer name weft netns client
link add up0 netns plain type veth peer name plain netns client
link add up1 netns weft type veth peer name weft netns backend
link add up1 netns plain type veth peer name plain netns backend
`
const HOSTS: Readonly<Record<string, string>> = {
  client: `
addr add 10.71.1.1/24 dev weft
addr add 10.71.2.1/24 dev plain
link set weft up
link set plain up
route add ${BACKEND} via 10.71.2.2`,
  weft: `
addr add ${WEFT_NODE}/24 dev up0
addr add ${SNAT}/24 dev up1
link set up0 up
link set up1 up
route add ${BACKEND} via 10.71.3.1`,
  plain: `
addr add 10.71.2.2/24 dev up0
addr add 10.71.4.2/24 dev up1
link set up0 up
link set up1 up
route add ${BACKEND} via 10.71.4.1`,
  backend: `
addr add ${BACKEND}/32 dev lo
addr add 10.71.3.1/24 dev weft
addr add 10.71.4.1/24 dev plain
link set weft up
link set plain up
route add 10.71.2.0/24 via 10.71.4.2`,
}

const netns = (host: string): string => `/run/netns/${host}`

function wire(): void {
  for (const host of Object.keys(HOSTS)) execFileSync('ip', ['netns', 'add', host])
  execFileSync('ip', ['-batch', '-'], { input: WIRING.trimStart() })
  for (const [host, lines] of Object.entries(HOSTS)) {
    execFileSync('ip', ['-netns', host, '-batch', '-'], { input: `link set lo up${lines}\n` })
  }
  // Ports for SNAT and ports of the node's own sockets must not meet: equal settings on both nodes.
  for (const node of ['plain', 'weft']) {
    const settings = ['net.ipv4.ip_forward=1', 'net.ipv4.ip_local_port_range=10000 29999']
    execFileSync('ip', ['netns', 'exec', node, 'sysctl', '-qw', ...settings])
  }
}

const request = JSON.parse(process.argv[2] ?? '') as ConnectRequest
wire()
enterNetns(netns('weft'))
const bpffs = `${request.directory}/bpffs`
mkdirSync(bpffs)
execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs])
const datapath = Datapath.open({
  objectsDir: `${BUILD}/bpf`,
  bpfRoot: bpffs,
  cgroupRoot: request.cgroups.weft,
  uplink: 'up0',
  nodePorts: { first: 30000, last: 32767 },
  rodata: { cfg_snat_addr: Buffer.from(SNAT.split('.').map(Number)).readUInt32LE() },
})
// The agent has one uplink; here clients and backends are on two, so that no bridge between them adds to both sides.
for (const { name, id } of datapath.programs) {
  const direction = name === 'weft_from_netdev' ? 'ingress' : name === 'weft_to_netdev' ? 'egress' : undefined
  if (direction !== undefined) BpfLink.attachTcx(BpfProgram.openById(id), ifIndex('up1'), direction)
}
const map = (name: keyof typeof LB_MAPS) => datapath.maps[LB_MAPS[name].name]!
const balancer = new Balancer(
  {
    services: map('services'),
    slots: map('slots'),
    backends: map('backends'),
    reverse: map('reverse'),
    ranges: map('ranges'),
  },
  systemClock,
)
for (const services of request.services) {
  await fill(services)
  for (const way of request.ways) {
    const { a, b } = await measure(way)
    const reply: ConnectReply = { services, way, plain: a, weft: b, programs: await profile(way) }
    process.stdout.write(`${JSON.stringify(reply)}\n`)
  }
}
balancer.close()
datapath.close()

/** The service under test and as many others as are missing to `count`. */
async function fill(count: number): Promise<void> {
  const tables = createTables()
  const writer = new Writer(tables, new SyncGates())
  const others = rows(count - 1, 10)
  const own = serviceRow(count, {
    type: 'NodePort',
    clusterIPs: [parseAddress(CLUSTER_IP)!],
    ports: [{ name: 'http', protocol: 6, port: 80, targetPort: BACKEND_PORT, nodePort: NODE_PORT }],
  })
  for (const row of [...others.services, own]) writer.upsertService(row)
  for (const row of others.sets) writer.upsertBackends(row)
  const address: Address = parseAddress(BACKEND)!
  writer.upsertBackends({ ...backendRow(own, 0, 0), endpoints: [endpoint(address)] })
  const snapshot = snapshotOf(tables, 'random', [parseAddress(WEFT_NODE)!])
  await balancer.set([...tables.services.values()].flatMap((row) => desiredFrontends(snapshot, row.name).frontends))
}

async function measure(way: Way, rounds = ROUNDS): Promise<{ a: number[]; b: number[] }> {
  const { cgroups } = request
  const sides =
    way === 'socket'
      ? [
          [netns('plain'), cgroups.plain, BACKEND, BACKEND_PORT],
          [netns('weft'), cgroups.weft, CLUSTER_IP, 80],
        ]
      : [
          [netns('client'), cgroups.plain, BACKEND, BACKEND_PORT],
          [netns('client'), cgroups.plain, WEFT_NODE, NODE_PORT],
        ]
  const args = [rounds, BATCH, netns('backend'), BACKEND, BACKEND_PORT, ...sides.flat()].map(String)
  // On one CPU: packets between namespaces are then handled inside the call, and nothing waits for a wake-up elsewhere.
  const answer = await pinned(async () => execFileSync(built('connect'), args, { encoding: 'utf8', timeout: 60_000 }))
  return JSON.parse(answer) as { a: number[]; b: number[] }
}

/** The kernel's own statistics of our programs; kept out of the measurement, which they would slow down. */
async function profile(way: Way): Promise<string> {
  const setting = '/proc/sys/kernel/bpf_stats_enabled'
  const before = readFileSync(setting, 'utf8')
  const read = (): { name: string; ns: number; runs: number }[] =>
    datapath.programs.map(({ name, id }) => {
      using program = BpfProgram.openById(id)
      const { runTimeNs, runCount } = program.info()
      return { name, ns: Number(runTimeNs), runs: Number(runCount) }
    })
  writeFileSync(setting, '1')
  try {
    const start = read()
    await measure(way, PROFILE_ROUNDS)
    const connections = (PROFILE_ROUNDS + 1) * BATCH
    return read()
      .map((end, i) => ({ name: end.name, ns: end.ns - start[i]!.ns, runs: end.runs - start[i]!.runs }))
      .filter(({ runs }) => runs > 0)
      .map(({ name, ns, runs }) => `${name} ${(runs / connections).toFixed(1)} × ${(ns / runs).toFixed(0)} ns`)
      .join(', ')
  } finally {
    writeFileSync(setting, before)
  }
}
