import type { Case } from '../run.ts'
import type { GeneveSpec, PacketSpec } from '../packet.ts'
import type { PrefixSpec } from '../maps.ts'
import { expectThat } from '../run.ts'
import { NODE, NODE_MAC, PEER_MAC } from '../world.ts'
import { sent } from './icmp-sent.ts'
import { CLIENT, REMOTE, REMOTE_BACKEND, request, toPeer, toRemote, UDP, VIP } from './common.ts'
import { OTHERWISE } from './settings.ts'

export const PEER = '172.18.0.3'
export const REMOTE_NODE: PrefixSpec = { prefix: `${PEER}/32`, isNode: true, takesDsr: true }
export const REMOTE_POD: PrefixSpec = { prefix: `${REMOTE}/32`, tunnel: PEER }

const service = { ...toRemote, forward: 'DSR' } as const
const dsr = { services: [service], backends: [REMOTE_BACKEND], prefixes: [REMOTE_POD, REMOTE_NODE] }
const udpService = { ...service, protocol: UDP } as const
const udpDsr = { ...dsr, services: [udpService], backends: [{ ...REMOTE_BACKEND, protocol: UDP }] }

const told = { address: VIP, port: 80 }
const outer: GeneveSpec = { src: NODE, dst: PEER, smac: NODE_MAC, dmac: PEER_MAC }
/** What is inside: the client's packet but for the destination, and one hop further. */
const inner = { dst: REMOTE, dport: 8080, ttl: 63 } as const
const wrapped = { ...inner, geneve: outer } as const
const wrappedTold = { ...inner, geneve: { ...outer, told } } as const
const data: PacketSpec = { ...request, flags: 'A' }
const datagram: PacketSpec = { ...request, proto: 'udp' }

function error(dst: string, quote: PacketSpec): PacketSpec {
  return { src: '203.0.113.1', dst, proto: 'icmp', icmp: { type: 3, code: 4, mtu: 1400, quote, quoteBytes: 20 } }
}

const flow = (flags: string, life: number, node = PEER): string =>
  `tcp ${CLIENT}:40000>${VIP}:80 => ${node}:40000>${REMOTE}:8080 ${flags} ${life}s`

/** One SYN, byte for byte: outer Ethernet, IP, UDP, Geneve, option, inner Ethernet, IP, TCP. */
function golden(port: number): string {
  return [
    '020000000003' + '020000000002' + '0800',
    '4500006a' + '00004000' + '4011' + 'e259' + 'ac120002' + 'ac120003',
    port.toString(16) + '17c1' + '0056' + '0000',
    '03' + '00' + '6558' + '000002' + '00',
    '014b' + '81' + '02' + 'c6336450' + '0050' + '0000',
    '020000000002' + '020000000001' + '0800',
    '4500002c' + '12340000' + '3f06' + '9ccf' + 'c000020a' + '0a0100be',
    '9c40' + '1f90',
  ].join('')
}

export const DSR: readonly Case[] = [
  {
    description: 'TCP: the SYN tells the service, later packets do not; one entry, no answer is waited for',
    ...dsr,
    steps: [
      {
        send: request,
        verdict: 'redirect',
        becomes: wrappedTold,
        flows: [flow('DSR', 60)],
        check: (_, out) => {
          const wanted = golden(out.readUInt16BE(34))
          const got = out.toString('hex', 0, wanted.length / 2)
          expectThat(got === wanted, `golden bytes differ\n  got       ${got}\n  expected  ${wanted}`)
        },
      },
      { send: data, verdict: 'redirect', becomes: wrapped, flows: [flow('ESTABLISHED DSR', 8000)] },
      {
        send: { ...data, flags: 'FA' },
        verdict: 'redirect',
        becomes: wrapped,
        flows: [flow('ESTABLISHED FIN_SELF DSR', 60)],
      },
      { send: request, verdict: 'redirect', becomes: wrappedTold, flows: [flow('DSR', 60)] },
    ],
  },
  {
    description: 'the outer source is the address of the device, or the one that is the same on all',
    ...dsr,
    devices: [
      { name: 'up0', address: '172.18.0.77' },
      { name: 'sole', address: '172.18.0.78' },
    ],
    steps: [
      {
        send: request,
        verdict: 'redirect',
        becomes: { ...wrappedTold, geneve: { ...outer, told, src: '172.18.0.78' } },
      },
    ],
  },
  {
    description: 'one flow, one source port outside',
    ...dsr,
    steps: [
      { send: request, verdict: 'redirect', becomes: wrappedTold },
      { send: data, verdict: 'redirect', becomes: wrapped },
    ],
  },
  {
    description: 'TCP that begins in the middle was another node’s: each packet tells',
    ...dsr,
    steps: [
      { send: data, verdict: 'redirect', becomes: wrappedTold, flows: [flow('ESTABLISHED DSR DSR_INFO', 8000)] },
      { send: data, verdict: 'redirect', becomes: wrappedTold },
      {
        send: { ...data, flags: 'RA' },
        verdict: 'redirect',
        becomes: wrappedTold,
        flows: [flow('ESTABLISHED RST DSR DSR_INFO', 10)],
      },
    ],
  },
  {
    description: 'every TCP packet tells where that is configured',
    ...dsr,
    config: OTHERWISE,
    steps: [
      { send: request, verdict: 'redirect', becomes: wrappedTold },
      { send: data, verdict: 'redirect', becomes: wrappedTold, flows: [flow('ESTABLISHED DSR', 50)] },
    ],
  },
  {
    description:
      'UDP: every packet tells; without a checksum it stays without; the class of traffic is kept, congestion is not',
    ...udpDsr,
    steps: [
      { send: datagram, verdict: 'redirect', becomes: wrappedTold },
      { send: { ...datagram, noChecksum: true, payload: 'odd' }, verdict: 'redirect', becomes: wrappedTold },
      {
        send: { ...datagram, tos: 0xb9 },
        verdict: 'redirect',
        becomes: { ...wrappedTold, geneve: { ...outer, told, tos: 0xb8 } },
      },
      { send: { ...datagram, options: 8 }, verdict: 'redirect', becomes: wrappedTold },
    ],
  },
  {
    description: 'fragments of a datagram: the first tells, the others follow it',
    ...udpDsr,
    steps: [
      { send: { ...datagram, fragment: { offset: 0, more: true } }, verdict: 'redirect', becomes: wrappedTold },
      { send: { ...datagram, fragment: { offset: 4, more: false } }, verdict: 'redirect', becomes: wrapped },
    ],
  },
  {
    description: 'a backend in its node’s network: to the node itself',
    services: [service],
    backends: [{ ...REMOTE_BACKEND, address: PEER }],
    prefixes: [REMOTE_NODE],
    steps: [{ send: request, verdict: 'redirect', becomes: { ...wrappedTold, dst: PEER } }],
  },
  {
    description: 'a prefix of pods leads to their node',
    ...dsr,
    prefixes: [{ prefix: '10.1.0.0/24', tunnel: PEER }, REMOTE_NODE],
    steps: [{ send: request, verdict: 'redirect', becomes: wrappedTold }],
  },
  ...(
    [
      ['nobody knows where the backend is', [REMOTE_NODE]],
      ['the node does not take it', [REMOTE_POD, { ...REMOTE_NODE, takesDsr: false }]],
      ['what it is on is no node', [REMOTE_POD]],
    ] as const
  ).map(([why, prefixes]): Case => ({
    description: `SNAT where ${why}, counted; an established flow never changes`,
    ...dsr,
    prefixes,
    steps: [
      {
        send: request,
        verdict: 'redirect',
        becomes: toPeer,
        check: (maps) => {
          expectThat(maps.counters().has('REASON_DSR_FALLBACK'), 'no fallback was counted')
        },
        counts: ['REASON_FORWARDED', 'REASON_DSR_FALLBACK'],
      },
      {
        before: (maps) => [REMOTE_POD, REMOTE_NODE].forEach((prefix) => maps.addPrefix(prefix)),
        send: data,
        verdict: 'redirect',
        becomes: toPeer,
      },
    ],
  })),
  {
    description: 'an established DSR flow goes on where its service is SNAT now and its node takes none',
    ...dsr,
    steps: [
      { send: request, verdict: 'redirect', becomes: wrappedTold },
      {
        before: (maps) => {
          maps.addService(toRemote)
          maps.addPrefix({ ...REMOTE_NODE, takesDsr: false })
          maps.editFlows((_, value) => ({ ...value, last: value.last - 1 }))
        },
        send: data,
        verdict: 'redirect',
        becomes: wrapped,
      },
      { send: { ...data, flags: 'FA' }, verdict: 'redirect', becomes: wrapped },
      { send: request, verdict: 'redirect', becomes: toPeer },
    ],
  },
  {
    description: 'a backend’s address that moved to another node: within a second the flow follows',
    ...dsr,
    steps: [
      { send: request, verdict: 'redirect', becomes: wrappedTold },
      {
        before: (maps) => {
          maps.addPrefix({ prefix: `${REMOTE}/32`, tunnel: '172.18.0.1' })
          maps.addPrefix({ prefix: '172.18.0.1/32', isNode: true, takesDsr: true })
          maps.editFlows((_, value) => ({ ...value, last: value.last - 1 }))
        },
        send: data,
        verdict: 'redirect',
        becomes: { ...wrapped, geneve: { ...outer, dst: '172.18.0.1', dmac: '02:00:00:00:00:01' } },
        flows: [flow('ESTABLISHED DSR', 8000, '172.18.0.1')],
      },
    ],
  },
  {
    description: 'a removed backend: the next packet chooses anew, and tells',
    ...dsr,
    steps: [
      { send: request, verdict: 'redirect', becomes: wrappedTold },
      {
        before: (maps) => {
          maps.removeBackend(2)
          maps.addBackend({ ...REMOTE_BACKEND, id: 3, port: 9090 })
          maps.addService({ ...service, backends: [3] })
        },
        send: data,
        verdict: 'redirect',
        becomes: { ...wrappedTold, dport: 9090 },
      },
    ],
  },
  {
    description: 'a neighbour that is not known yet: the kernel resolves it',
    ...dsr,
    prefixes: [
      { ...REMOTE_POD, tunnel: '172.18.0.9' },
      { ...REMOTE_NODE, prefix: '172.18.0.9/32' },
    ],
    steps: [
      {
        send: request,
        verdict: 'redirect',
        becomes: {
          ...inner,
          geneve: { src: NODE, dst: '172.18.0.9', told, smac: '02:00:00:00:00:01', dmac: NODE_MAC },
        },
        xdpVerdict: 'pass',
        counts: 'REASON_FORWARDED',
      },
    ],
  },
  {
    description: 'too big once it is encapsulated: the client hears the MTU that is left, from the service',
    ...dsr,
    cuts: true,
    steps: [
      { send: request, verdict: 'redirect', becomes: wrappedTold },
      // 1450 bytes and 50 around them: just so.
      { send: { ...data, payload: 'x'.repeat(1410) }, verdict: 'redirect', becomes: wrapped },
      {
        send: { ...data, payload: 'x'.repeat(1411), dontFragment: true },
        verdict: 'redirect',
        counts: 'DROP_FRAG_NEEDED',
        becomes: {
          ...sent(VIP, { ...data, payload: 'x'.repeat(1411), dontFragment: true }, 3, 4, 1438),
          dontFragment: false,
        },
      },
    ],
  },
  {
    description: 'too big a datagram: its option counts too, and who allows fragments is told as well',
    ...udpDsr,
    cuts: true,
    steps: [
      { send: { ...datagram, payload: 'x'.repeat(1410) }, verdict: 'redirect', becomes: wrappedTold },
      {
        send: { ...datagram, payload: 'x'.repeat(1411) },
        verdict: 'redirect',
        counts: 'DROP_FRAG_NEEDED',
        becomes: sent(VIP, { ...datagram, payload: 'x'.repeat(1411) }, 3, 4, 1438),
      },
    ],
  },
  {
    description:
      'an error about an answer, from the client’s side: to the backend’s node, as the backend knows its packets',
    ...dsr,
    steps: [
      { send: request, verdict: 'redirect', becomes: wrappedTold },
      {
        send: error(VIP, { src: VIP, dst: CLIENT, sport: 80, dport: 40000, flags: 'A' }),
        verdict: 'redirect',
        becomes: {
          ...error(REMOTE, { src: REMOTE, dst: CLIENT, sport: 8080, dport: 40000, flags: 'A' }),
          ttl: 63,
          geneve: outer,
        },
        flows: [flow('DSR', 60)],
      },
    ],
  },
  {
    description: 'no hop left: time exceeded; no way to the node: a drop',
    ...dsr,
    cuts: true,
    steps: [
      {
        send: { ...request, ttl: 1 },
        verdict: 'redirect',
        counts: 'DROP_TTL_EXCEEDED',
        becomes: sent(NODE, { ...request, ttl: 1 }, 11, 0),
      },
      {
        before: (maps) => {
          maps.addPrefix({ prefix: `${REMOTE}/32`, tunnel: '10.8.0.1' })
          maps.addPrefix({ prefix: '10.8.0.1/32', isNode: true, takesDsr: true })
          maps.editFlows(() => undefined)
        },
        send: request,
        verdict: 'drop',
        counts: 'DROP_NO_FIB',
      },
    ],
  },
]
