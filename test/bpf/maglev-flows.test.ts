import { afterAll, beforeAll, expect, it } from 'vitest'
import type { MaglevBackend } from '../../agent/desired/maglev.ts'
import { maglevTable, parseMaglevSeed } from '../../agent/desired/maglev.ts'
import { DEFAULT_MAGLEV_SEED } from '../../agent/types/maglev.ts'
import { formatAddress } from '../../agent/types/address.ts'
import { address, build, destinationAddress } from './packet.ts'
import { sendFrame } from './run.ts'
import { type Config, World } from './world.ts'

/** What the program makes of a Maglev table, over many flows: packets through it, not cells of the table. */

const FLOWS = 20_000
/** Both entries of each fit into the tables of a test. */
const KNOWN = 1000
const SIZE = 16_381
const VIP = '172.16.1.1'
const BACKENDS = Array.from({ length: 10 }, (_, i) => `10.1.2.${i + 1}`)
const SEED = parseMaglevSeed(DEFAULT_MAGLEV_SEED).table
/** Choose and rewrite, remember nothing: what a node does with a flow that it has not seen. */
const STATELESS = { cfg_track_flows: false }

/** Many packets, on a machine that may be busy. */
const TIMEOUT_MS = 120_000

let world: World

/** A node's maps: its ids are its own, so they may be any. */
function serve(idOf: (backend: string) => number, backends: readonly string[]): void {
  world.maps.clear()
  for (const backend of backends) world.maps.addBackend({ id: idOf(backend), address: backend })
  publish(backends.map((backend) => member(idOf(backend), backend)))
}

const member = (id: number, backend: string): MaglevBackend & { readonly id: number } => ({
  ...{ id, address: address(backend), port: 8080, protocol: 6, weight: 100 },
})

function publish(members: readonly (MaglevBackend & { readonly id: number })[]): void {
  const ids = members.map(({ id }) => id)
  world.maps.addService({ id: 1, address: VIP, backends: ids, maglev: [...maglevTable(members, SIZE, SEED, ids)] })
}

const own = (backend: string): number => BACKENDS.indexOf(backend) + 1

/** Flows of many clients, each by its number. */
const flow = (number: number, flags: string): Buffer =>
  build({
    ...{ src: `192.0.${2 + (number % 50)}.${1 + (number % 199)}`, sport: 10_000 + number, dst: VIP, flags },
    ...{ payload: '' },
  })

const SYNS = Array.from({ length: FLOWS }, (_, number) => flow(number, 'S'))

const chosen = (frame: Buffer, config: Config): string =>
  formatAddress(destinationAddress(sendFrame(world, 'ingress', frame, config)))

const all = (): string[] => SYNS.map((frame) => chosen(frame, STATELESS))

/** What a node with all backends chooses. */
let before: readonly string[]

beforeAll(() => {
  world = new World()
  serve(own, BACKENDS)
  before = all()
}, TIMEOUT_MS)
afterAll(() => world.close())

it(
  'two nodes, whose ids and order of backends have nothing in common, choose alike for each of 20 000 flows',
  { timeout: TIMEOUT_MS },
  () => {
    const reversed = [...BACKENDS].reverse()
    serve((backend) => 200 + reversed.indexOf(backend) * 7, reversed)
    expect(all()).toEqual(before)
    const shares = BACKENDS.map((backend) => before.filter((each) => each === backend).length)
    expect(Math.min(...shares)).toBeGreaterThan(FLOWS * 0.09)
  },
)

it(
  'a backend that goes takes at most 1 % of the flows of others with it, where nobody remembers them',
  { timeout: TIMEOUT_MS },
  () => {
    const [gone = '', ...rest] = BACKENDS
    serve(own, rest)
    const after = all()
    const others = before.map((backend, number) => [backend, after[number]]).filter(([backend]) => backend !== gone)
    const moved = others.filter(([was, is]) => was !== is).length
    expect(after).not.toContain(gone)
    process.stdout.write(`maglev: ${moved} of ${others.length} flows of other backends moved\n`)
    expect(moved / others.length).toBeLessThan(0.01)
  },
)

it('and none at all where they are known', () => {
  serve(own, BACKENDS)
  const known = Array.from({ length: KNOWN }, (_, number) => chosen(SYNS[number]!, {}))
  const [gone = '', ...rest] = BACKENDS
  // As the agent does it: the service first, then its backend; flows stay.
  publish(rest.map((backend) => member(own(backend), backend)))
  world.maps.removeBackend(own(gone))
  const now = known.map((_, number) => chosen(flow(number, 'A'), {}))
  known.forEach((backend, number) => {
    if (backend === gone) expect(now[number]).not.toBe(gone)
    else expect(now[number]).toBe(backend)
  })
})
