import type { Case } from '../run.ts'
import type { GeneveSpec, PacketSpec } from '../packet.ts'
import { NODE, PEER_MAC, POD } from '../world.ts'
import { CLIENT, podReply, request, toRouter, VIP, VIP2 } from './common.ts'
import { PEER, REMOTE_NODE } from './dsr.ts'

const here = { endpoints: [POD], prefixes: [REMOTE_NODE], only: 'tc' } as const
const told = { address: VIP, port: 80 }
const outer: GeneveSpec = { src: PEER, dst: NODE, smac: PEER_MAC, dmac: '02:00:00:00:00:02' }
/** The client's packet as the other node left it inside. */
const packet: PacketSpec = { ...request, dst: POD, dport: 8080, ttl: 63 }
const data: PacketSpec = { ...packet, flags: 'A' }
const datagram: PacketSpec = { ...packet, proto: 'udp' }
const arrives = (spec: PacketSpec, geneve: Partial<GeneveSpec> = {}): PacketSpec => ({
  ...spec,
  geneve: { ...outer, ...geneve },
})
/** The inner Ethernet header is gone, the outer one is what it came with. */
const unpacked = { geneve: undefined, smac: PEER_MAC } as const
const answer: PacketSpec = { ...podReply, flags: 'A' }
const answered = { src: VIP, sport: 80, ...toRouter } as const
const flows = (flags: string, life: number, vip = `${VIP}:80`): string[] => [
  `tcp ${CLIENT}:40000>${vip} => ${CLIENT}:40000>${POD}:8080 LOCAL${flags} ${life}s`,
  `tcp ${POD}:8080>${CLIENT}:40000 => ${vip}>${CLIENT}:40000 REV LOCAL${flags} ${life}s`,
]
const udpFlows = (vip: string): string[] => flows('', 60, vip).map((line) => line.replace('tcp', 'udp'))

export const DSR_RECEIVE: readonly Case[] = [
  {
    description: 'a SYN that tells: unpacked, both entries, and the answer leaves with the service’s address',
    ...here,
    steps: [
      { send: arrives(packet, { told }), verdict: 'pass', becomes: unpacked, flows: flows('', 60) },
      { hook: 'pod', send: { ...answer, flags: 'SA' }, verdict: 'redirect', becomes: answered },
      { send: arrives(data), verdict: 'pass', becomes: unpacked, flows: flows(' ESTABLISHED', 8000) },
      { hook: 'pod', send: answer, verdict: 'redirect', becomes: answered },
      {
        send: arrives({ ...data, flags: 'RA' }),
        verdict: 'pass',
        becomes: unpacked,
        flows: flows(' ESTABLISHED RST', 10),
      },
    ],
  },
  {
    description: 'by the uplink, where the backend shares the network of its node',
    ownAddresses: [NODE],
    prefixes: [REMOTE_NODE],
    only: 'tc',
    steps: [
      { send: arrives({ ...packet, dst: NODE }, { told }), verdict: 'pass', becomes: unpacked },
      {
        hook: 'egress',
        send: { ...answer, src: NODE },
        verdict: 'pass',
        becomes: { src: VIP, sport: 80 },
      },
    ],
  },
  {
    description: 'a packet from the middle that tells: known from then on, so that an RST leaves as the service’s',
    ...here,
    steps: [
      { send: arrives(data, { told }), verdict: 'pass', becomes: unpacked, flows: flows(' ESTABLISHED', 8000) },
      { hook: 'pod', send: { ...answer, flags: 'R' }, verdict: 'redirect', becomes: answered },
    ],
  },
  {
    description: 'nothing behind the inner frame’s header: nothing to unpack',
    ...here,
    cuts: true,
    steps: [
      {
        send: { ...arrives(packet, { told }), cut: 14 },
        verdict: 'drop',
        counts: 'DROP_INVALID_PACKET',
        flows: [],
      },
    ],
  },
  {
    description: 'one that does not tell, of no known flow: unpacked and no more',
    ...here,
    steps: [{ send: arrives(data), verdict: 'pass', becomes: unpacked, flows: [] }],
  },
  {
    description: 'the entry of the request is thrown out: the next packet restores it',
    ...here,
    steps: [
      { send: arrives(packet, { told }), verdict: 'pass', becomes: unpacked },
      {
        before: (maps) => maps.editFlows((_, value) => ((value.flags & 1) === 0 ? undefined : value)),
        send: arrives(data),
        verdict: 'pass',
        becomes: unpacked,
        flows: flows('', 60),
      },
    ],
  },
  {
    description: 'UDP, with a checksum and without, IP options and all',
    ...here,
    steps: [
      { send: arrives(datagram, { told }), verdict: 'pass', becomes: unpacked, flows: udpFlows(`${VIP}:80`) },
      {
        send: arrives({ ...datagram, noChecksum: true, payload: 'odd' }, { told }),
        verdict: 'pass',
        becomes: unpacked,
      },
      { send: arrives({ ...datagram, options: 12 }, { told, outerOptions: 8 }), verdict: 'pass', becomes: unpacked },
      { hook: 'pod', send: { ...answer, proto: 'udp' }, verdict: 'redirect', becomes: answered },
    ],
  },
  {
    description: 'whatever the other node writes: plain IP inside, unknown options, the critical bit, the other world',
    ...here,
    steps: (
      [
        { told },
        { told, inner: 'ip' },
        { told, options: Buffer.from('ffff0100', 'hex') },
        { told, options: Buffer.from('010281030102030405060708090a0b0c', 'hex') },
        { told, flags: 0x40 },
        { told, vni: 9 },
        { options: Buffer.from('014b0102c633645000500000', 'hex') },
      ] as const
    ).map((geneve) => ({ send: arrives(packet, geneve), verdict: 'pass', becomes: unpacked, flows: flows('', 60) })),
  },
  {
    description: 'another service between the same ports: refused while the first lives, then taken',
    ...here,
    steps: [
      { send: arrives(datagram, { told }), verdict: 'pass', becomes: unpacked },
      {
        send: arrives(datagram, { told: { address: VIP2, port: 80 } }),
        verdict: 'drop',
        counts: 'DROP_NAT_NO_MAPPING',
        becomes: unpacked,
        flows: udpFlows(`${VIP}:80`),
      },
      {
        // Over since the first second: a machine may be up for less than what such a flow lives.
        before: (maps) => maps.editFlows((_, value) => ({ ...value, expires: 1 })),
        send: arrives(datagram, { told: { address: VIP2, port: 80 } }),
        verdict: 'pass',
        becomes: unpacked,
      },
      { hook: 'pod', send: { ...answer, proto: 'udp' }, verdict: 'redirect', becomes: { ...answered, src: VIP2 } },
    ],
  },
  {
    description: 'a new connection between ports that were another service’s until its end',
    ...here,
    steps: [
      { send: arrives(packet, { told }), verdict: 'pass', becomes: unpacked },
      { send: arrives({ ...data, flags: 'R' }), verdict: 'pass', becomes: unpacked },
      {
        send: arrives(packet, { told: { address: VIP2, port: 80 } }),
        verdict: 'pass',
        becomes: unpacked,
      },
      { hook: 'pod', send: { ...answer, flags: 'SA' }, verdict: 'redirect', becomes: { ...answered, src: VIP2 } },
    ],
  },
  {
    description: 'the same client later asks this node itself: its flow goes on',
    ...here,
    services: [{ id: 1, address: VIP, backends: [1], forward: 'DSR' }],
    backends: [{ id: 1, address: '10.1.0.190' }],
    steps: [
      { send: arrives(packet, { told }), verdict: 'pass', becomes: unpacked },
      { send: { ...request, flags: 'A' }, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
    ],
  },
  {
    description: 'an error about an answer: to the pod as it is',
    ...here,
    steps: [
      { send: arrives(packet, { told }), verdict: 'pass', becomes: unpacked },
      {
        send: arrives({
          ...{ src: '203.0.113.1', dst: POD, proto: 'icmp' },
          icmp: { type: 3, code: 4, mtu: 1400, quote: { src: POD, dst: CLIENT, sport: 8080, dport: 40000 } },
        }),
        verdict: 'pass',
        becomes: unpacked,
        flows: flows('', 60),
      },
    ],
  },
  {
    description: 'later fragments: unpacked',
    ...here,
    steps: [
      {
        send: arrives({ ...datagram, fragment: { offset: 4, more: false } }),
        verdict: 'pass',
        becomes: unpacked,
        flows: [],
      },
    ],
  },
  {
    description: 'from who is no known node: a sender chooses whose answer it becomes',
    ...here,
    prefixes: [{ prefix: `${PEER}/32`, isNode: false }],
    steps: [
      { send: arrives(packet, { told }), verdict: 'drop', counts: 'DROP_BAD_SOURCE', flows: [] },
      { send: arrives(packet, { told, src: '192.0.2.66' }), verdict: 'drop', counts: 'DROP_BAD_SOURCE', flows: [] },
    ],
  },
  {
    description: 'for a backend that is not here',
    ...here,
    endpoints: [],
    cuts: true,
    steps: [
      {
        send: arrives(packet, { told }),
        verdict: 'drop',
        counts: 'DROP_HOST_UNREACHABLE',
        becomes: unpacked,
        flows: [],
      },
    ],
  },
  {
    description: 'nonsense',
    ...here,
    steps: (
      [
        { told, version: 1 },
        { told, words: 2 },
        { told, words: 63 },
        { options: Buffer.from('ffff0105', 'hex') },
        { told, inner: 0x86dd },
        { told, inner: 0x6559 },
      ] as const
    ).map((geneve) => ({ send: arrives(packet, geneve), verdict: 'drop', counts: 'DROP_INVALID_PACKET', flows: [] })),
  },
  {
    description: 'a packet that does not end within the one that carries it',
    ...here,
    steps: [
      {
        send: arrives({ ...packet, cut: 14 + 43 }, { told }),
        verdict: 'drop',
        counts: 'DROP_INVALID_PACKET',
        flows: [],
      },
      {
        send: arrives({ ...packet, cut: 14 + 19 }, { told }),
        verdict: 'drop',
        counts: 'DROP_INVALID_PACKET',
        flows: [],
      },
      { send: arrives({ ...packet, cut: 14 }, { told }), verdict: 'drop', counts: 'DROP_INVALID_PACKET', flows: [] },
      {
        send: arrives({ ...packet, totalLength: 45 }, { told }),
        verdict: 'drop',
        counts: 'DROP_INVALID_PACKET',
        flows: [],
      },
      {
        send: arrives({ ...packet, padding: 9 }, { told }),
        verdict: 'pass',
        becomes: unpacked,
        flows: flows('', 60),
      },
    ],
  },
  {
    description: 'another network between nodes, and what is for another host: left to the stack',
    ...here,
    steps: [
      { send: arrives(packet, { told, vni: 77 }), verdict: 'pass', counts: 'REASON_FORWARDED' },
      { send: arrives(packet, { told, dst: '172.18.0.99' }), verdict: 'pass' },
    ],
  },
  {
    description: 'a pod encapsulates nothing',
    ...here,
    steps: [
      {
        hook: 'pod',
        send: { ...podReply, dst: PEER, proto: 'udp', sport: 50000, dport: 6081 },
        verdict: 'drop',
        counts: 'DROP_ENCAP_PROHIBITED',
      },
      { hook: 'pod', send: { ...podReply, dst: PEER, proto: 'udp', sport: 6081, dport: 50000 }, verdict: 'pass' },
    ],
  },
  {
    description: 'at XDP: left to tc',
    ...here,
    only: 'xdp',
    steps: [{ send: arrives(packet, { told }), verdict: 'pass', flows: [] }],
  },
]
