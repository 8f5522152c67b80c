import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { FLOW_MAPS } from '../../agent/maps/flow.ts'
import { XdpVerdict } from '../../native/index.ts'
import { address, build } from './packet.ts'
import { expectSame, expectThat, runCase, sendFrame, type Case, type Step } from './run.ts'
import { CLIENT, REMOTE, REMOTE_BACKEND, request, toRemote, UDP, VIP } from './tables/common.ts'
import { PEER, REMOTE_NODE, REMOTE_POD } from './tables/dsr.ts'
import { NODE, NODE_MAC, PEER_MAC, World } from './world.ts'

/*
 * What cannot be provoked by packets alone. An LRU table always finds room, so the shipped sources are compiled once more with
 * tables that do not: entries are then refused as they would be for any reason. And a driver may leave little room in front of
 * a packet.
 */

const BPF = join(dirname(fileURLToPath(import.meta.url)), '../../bpf')
const PLAIN = join(dirname(fileURLToPath(import.meta.url)), 'fixtures/plain-tables.h')
/** In front of a packet a driver leaves 256 bytes, of which the kernel takes 40; an encapsulation needs 62. */
const METADATA = 200

let built: string
let world: World

beforeAll(() => {
  built = mkdtempSync(join(tmpdir(), 'weft-no-room-'))
  for (const name of ['weft_netdev', 'weft_xdp']) {
    const [raw, object] = [join(built, `${name}.raw.o`), join(built, `${name}.o`)]
    const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`
    const flags = ['-target', 'bpf', '-mcpu=v3', '-O2', '-g', '-I', include, '-include', PLAIN]
    execFileSync('clang-19', [...flags, '-c', join(BPF, `${name}.bpf.c`), '-o', raw])
    execFileSync('bpftool', ['gen', 'object', object, raw])
  }
  // One entry in each, and a flow has two.
  const maxEntries = Object.fromEntries(FLOW_MAPS.map(({ name }) => [name, 1]))
  world = new World({ objects: (name) => join(built, `${name}.o`), maxEntries })
}, 120_000)
afterAll(() => {
  world.close()
  rmSync(built, { recursive: true })
})

function walk(test: Omit<Case, 'description'>): void {
  for (const path of ['tc', 'xdp'] as const) runCase(world, { description: '', ...test }, path)
}

const outer = { src: NODE, dst: PEER, smac: NODE_MAC, dmac: PEER_MAC } as const
const remote = { services: [toRemote], backends: [REMOTE_BACKEND] }
const dsr = { ...remote, services: [{ ...toRemote, forward: 'DSR' }], prefixes: [REMOTE_POD, REMOTE_NODE] } as const
const data = { ...request, flags: 'A' }
const refused: Omit<Step, 'send'> = { verdict: 'drop', counts: 'DROP_FLOW_CREATE_FAILED' }

describe('flow-create-failed', () => {
  it('no room for the request beside the answer: neither stays', () => {
    walk({ ...remote, steps: [{ send: request, ...refused, flows: [] }] })
    walk({ ...remote, steps: [{ send: data, ...refused, flows: [] }] })
    const udp = { services: [{ ...toRemote, protocol: UDP }], backends: [{ ...REMOTE_BACKEND, protocol: UDP }] }
    walk({ ...udp, steps: [{ send: { ...request, proto: 'udp' }, ...refused, flows: [] }] })
  })

  it('none for the only entry of a DSR flow, nor for an answer: others keep what they have', () => {
    const wrapped = { dst: REMOTE, dport: 8080, ttl: 63, geneve: { ...outer, told: { address: VIP, port: 80 } } }
    const flows = [`tcp ${CLIENT}:40000>${VIP}:80 => ${PEER}:40000>${REMOTE}:8080 DSR 60s`]
    const other = { ...request, sport: 40001 }
    walk({
      ...dsr,
      steps: [
        { send: request, verdict: 'redirect', becomes: wrapped, flows },
        { send: other, ...refused, flows },
        { before: (maps) => maps.addService(toRemote), send: other, ...refused, flows },
      ],
    })
  })

  it('a flow that is established and finds no room for that goes on where it is', () => {
    world.maps.clear()
    world.maps.addService({ ...toRemote, forward: 'DSR' })
    world.maps.addBackend(REMOTE_BACKEND)
    for (const prefix of [REMOTE_POD, REMOTE_NODE]) world.maps.addPrefix(prefix)
    const other = { ...request, sport: 40001 }
    for (const packet of [
      { ...other, flags: 'S' },
      { ...other, flags: 'A' },
      { ...request, flags: 'S' },
      { ...request, flags: 'A' },
      { ...request, flags: 'FA' },
    ]) {
      const out = sendFrame(world, 'ingress', build({ ...packet, dmac: NODE_MAC }), {})
      expectThat(out.readUInt32BE(30) === address(PEER), `${packet.sport} ${packet.flags} went to the wrong place`)
    }
    expectSame('flows', world.maps.flowLines(), [
      `tcp ${CLIENT}:40000>${VIP}:80 => ${PEER}:40000>${REMOTE}:8080 ESTABLISHED FIN_SELF DSR 60s`,
      `tcp ${CLIENT}:40001>${VIP}:80 => ${PEER}:40001>${REMOTE}:8080 ESTABLISHED DSR 8000s`,
    ])
    expectThat(world.maps.misplacedFlows().length === 1, 'the second flow is not where the first one was')
  })
})

describe('write-error', () => {
  it('XDP: no room for an encapsulation in front of the packet', () => {
    world.maps.clear()
    world.maps.addService({ ...toRemote, forward: 'DSR' })
    world.maps.addBackend(REMOTE_BACKEND)
    for (const prefix of [REMOTE_POD, REMOTE_NODE]) world.maps.addPrefix(prefix)
    const frame = build({ ...request, dmac: NODE_MAC })
    const ctx = Buffer.alloc(24)
    ctx.writeUInt32LE(METADATA, 0)
    ctx.writeUInt32LE(METADATA + frame.length, 4)
    ctx.writeUInt32LE(world.ifindex('xdp'), 12)
    const errors = (): number => world.maps.counters().get('DROP_WRITE_ERROR')?.packets ?? 0
    const before = errors()
    const { retval } = world.program('xdp', {}).testRun({ data: Buffer.concat([Buffer.alloc(METADATA), frame]), ctx })
    expectThat(retval === XdpVerdict.DROP && errors() === before + 1, `verdict ${retval}, ${errors() - before} counted`)
  })
})
