import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FLOW_FLAGS, FLOW_SYN_MAP, FLOW_TCP_MAP } from '../../agent/maps/flow.ts'
import { formatAddress } from '../../agent/types/address.ts'
import { TcVerdict, type TestRun } from '../../native/index.ts'
import { Rng } from './fuzz/rng.ts'
import { build, type PacketSpec } from './packet.ts'
import { REMOTE_BACKEND, request, toRemote } from './tables/common.ts'
import { World } from './world.ts'

/** More SYNs than the tables of a small node have room for, through the loaded program, beside flows that are established. */

const FLOWS = 200
const FLOOD = 60_000
const ETH = 14
const SOURCE_AT = ETH + 12
const PORT_AT = ETH + 20

describe('a flood of SYNs', () => {
  let world: World
  let run: TestRun
  let sent = 0
  const ports = new Rng(1)

  function send(frame: Buffer): Buffer {
    run.data.set(frame)
    const verdict = run.run(frame.length)
    if (verdict !== TcVerdict.REDIRECT) throw new Error(`verdict ${verdict}`)
    return run.result
  }

  function client(n: number, flags: string): PacketSpec {
    return { ...request, src: `192.0.2.${n}`, flags }
  }

  /** Each from another address. Ports in a row would be one long block, which a search for a free one does not always leave. */
  function flood(count: number): void {
    const frame = build(request)
    for (let i = 0; i < count; i++, sent++) {
      frame.writeUInt32BE(0x0b000000 + sent, SOURCE_AT)
      frame.writeUInt16BE(ports.below(0x10000), PORT_AT)
      send(frame)
    }
  }

  function entries(name: string): string[] {
    return [...world.map(name).entries()]
      .map(([key, value]) => `${key.toString('hex')} ${value.toString('hex')}`)
      .sort()
  }

  beforeAll(() => {
    world = new World()
    world.maps.addBackend(REMOTE_BACKEND)
    world.maps.addService(toRemote)
    run = world.program('ingress', {}).prepareTestRun({ data: 256, out: 512, ctx: 192 })
    for (const at of [36, 40]) run.ctx.writeUInt32LE(world.ifindex('ingress'), at)
    for (let n = 0; n < FLOWS; n++) for (const flags of ['S', 'A']) send(build(client(n, flags)))
  })
  afterAll(() => world.close())

  it('leaves established flows as they are, though nothing is heard of them', { timeout: 60_000 }, () => {
    const before = entries(FLOW_TCP_MAP.name)
    expect(before).toHaveLength(2 * FLOWS)
    flood(FLOOD)
    expect(entries(FLOW_TCP_MAP.name)).toEqual(before)
    const room = world.map(FLOW_SYN_MAP.name).maxEntries
    expect(entries(FLOW_SYN_MAP.name).length).toBeGreaterThan(room / 2)
    expect(2 * FLOOD).toBeGreaterThan(10 * room)
  })

  it('and both sides go on with them', () => {
    const established = world.maps.flows().filter(([, , table]) => table === FLOW_TCP_MAP.name)
    for (const [key, { destination, destinationPort, flags }] of established) {
      const [src, dst] = [formatAddress(key.source), formatAddress(key.destination)]
      const out = send(build({ src, dst, sport: key.sourcePort, dport: key.destinationPort, flags: 'A' }))
      const to = [out.readUInt32BE(SOURCE_AT + 4), out.readUInt16BE(PORT_AT + 2)]
      if (to[0] !== destination || to[1] !== destinationPort) throw new Error(`${src} => ${to.join(':')}, ${flags}`)
    }
  })

  it('lets new connections be made meanwhile', () => {
    send(build(client(250, 'S')))
    flood(1000)
    const answers = world.maps
      .flows()
      .filter(([, value]) => formatAddress(value.destination) === '192.0.2.250' && (value.flags & FLOW_FLAGS.REV) !== 0)
    expect(answers).toHaveLength(1)
    const { source, destination, sourcePort: sport, destinationPort: dport } = answers[0]![0]
    send(build({ src: formatAddress(source), dst: formatAddress(destination), sport, dport, flags: 'SA' }))
    flood(1000)
    send(build(client(250, 'A')))
    expect(entries(FLOW_TCP_MAP.name)).toHaveLength(2 * FLOWS + 2)
    expect(world.maps.misplacedFlows()).toEqual([])
  })
})
