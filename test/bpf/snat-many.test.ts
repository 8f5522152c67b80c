import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TcVerdict } from '../../native/index.ts'
import { build } from './packet.ts'
import { Roads, VIP } from './roads.ts'

/** More flows to one backend than sockets are at hand for, each a packet through the loaded program. */

const FLOWS = 60_000
const ETH = 14

/** The n-th flow's packet: of one of 60 client addresses. */
function packet(n: number, flags = 'S'): Buffer {
  return build({ src: `10.200.0.${n % 60}`, dst: VIP, sport: 1024 + Math.floor(n / 60) * 13, flags, payload: '' })
}

describe.each([
  { ports: 64_512, first: 1024, all: true },
  { ports: 32_768, first: 32_768, all: false },
])(`${FLOWS} flows to one backend, $ports source ports`, ({ ports, first, all }) => {
  let roads: Roads
  const taken = new Set<number>()
  let dropped = 0

  /** Whether a first packet goes on, by a port that no other flow has. */
  function send(frame: Buffer): boolean {
    const { retval, data } = roads.run('n0', frame)
    if (retval === TcVerdict.SHOT) return false
    const port = data.readUInt16BE(ETH + 20)
    // Thousands of calls of expect would take longer than all else.
    if (retval !== TcVerdict.REDIRECT || taken.has(port)) throw new Error(`verdict ${retval}, port ${port}`)
    taken.add(port)
    return true
  }

  beforeAll(async () => {
    roads = new Roads('tc', { config: { cfg_snat_port_min: first, cfg_tcp_closing_s: 0 }, flows: 1 << 18 })
    await roads.serve()
    roads.service('elsewhere')
  })
  afterAll(() => roads.close())

  it('each has a port of its own, or is dropped by name', { timeout: 60_000 }, () => {
    for (let n = 0; n < FLOWS; n++) if (!send(packet(n))) dropped++
    expect(roads.counted('DROP_NAT_NO_MAPPING')).toBe(dropped)
    expect(taken.size).toBe(FLOWS - dropped)
    // 32 tries miss the free ports with a chance of (taken / ports) ** 32.
    if (all) expect(dropped).toBeLessThan(FLOWS / 100)
    else expect(taken.size).toBeGreaterThan(ports * 0.97)
  })

  it('those that have ports keep them', () => {
    for (let n = 0; n < 1000; n++) {
      const { retval, data } = roads.run('n0', packet(n, 'A'))
      expect(retval).toBe(TcVerdict.REDIRECT)
      expect(taken.has(data.readUInt16BE(ETH + 20))).toBe(true)
    }
  })

  it('a tenth of them end: as many others find a port', () => {
    const ended = roads.maps
      .flows()
      .flatMap(([key]) => (key.destinationPort === 80 ? [key] : []))
      .slice(0, ports / 10)
    for (const { source, sourcePort } of ended) {
      const at = { src: [24, 16, 8, 0].map((bit) => (source >>> bit) & 255).join('.'), dst: VIP, sport: sourcePort }
      taken.delete(roads.run('n0', build({ ...at, flags: 'RA' })).data.readUInt16BE(ETH + 20))
    }
    let found = 0
    for (let n = 0; n < ended.length / 2; n++)
      if (send(build({ src: '10.201.0.1', dst: VIP, sport: 2000 + n }))) found++
    expect(found).toBeGreaterThan(ended.length * 0.4)
  })
})
