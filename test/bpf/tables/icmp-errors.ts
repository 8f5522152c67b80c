import type { Case } from '../run.ts'
import type { PacketSpec } from '../packet.ts'
import { NODE, PEER_MAC, POD } from '../world.ts'
import {
  CLIENT,
  LOCAL_BACKEND,
  localReply,
  podReply,
  REMOTE,
  REMOTE_BACKEND,
  reply,
  request,
  toLocal,
  toPeer,
  toRemote,
  toRouter,
  UDP,
  VIP,
} from './common.ts'

const ROUTER = '203.0.113.1'
/** What the client, the node and the backends know each other's packets as. */
const asked: PacketSpec = { ...request, flags: 'A' }
const forwarded: PacketSpec = { ...asked, ...toPeer }
const answered: PacketSpec = { src: VIP, dst: CLIENT, sport: 80, dport: 40000, flags: 'A' }
const fromPeer: PacketSpec = { ...reply, flags: 'A' }
const toPod: PacketSpec = { ...asked, dst: POD, dport: 8080 }

function error(src: string, dst: string, quote: PacketSpec, more: Partial<PacketSpec['icmp']> = {}): PacketSpec {
  return { src, dst, proto: 'icmp', icmp: { type: 3, code: 4, mtu: 1400, quote, ...more } }
}

function udp(spec: PacketSpec): PacketSpec {
  return { ...spec, proto: 'udp' }
}

const snat = { services: [toRemote], backends: [REMOTE_BACKEND] }
const dnat = { services: [toLocal], backends: [LOCAL_BACKEND], endpoints: [POD] }
const begin = { send: request, verdict: 'redirect', becomes: toPeer } as const
const beginLocal = { send: request, verdict: 'pass', becomes: { dst: POD, dport: 8080 } } as const
/** Whole header of TCP quoted, checksum and all. */
const whole = { quoteBytes: 20 }

export const ICMP_ERRORS: readonly Case[] = [
  ...([{}, whole, { type: 11, code: 0, mtu: 0 }, { type: 3, code: 3, mtu: 0, ...whole }] as const).map(
    (kind): Case => ({
      description: `to the client, from a router before the backend: type ${'type' in kind ? kind.type : 3}, ${'quoteBytes' in kind ? 20 : 8} bytes quoted`,
      ...snat,
      steps: [
        begin,
        {
          send: { ...error(ROUTER, NODE, forwarded, kind), smac: PEER_MAC },
          verdict: 'redirect',
          becomes: { ...error(ROUTER, CLIENT, { ...asked, ttl: 63 }, kind), ...toRouter },
        },
      ],
    }),
  ),
  {
    description: 'what fills a short frame up is not taken for a part of the quote',
    ...snat,
    steps: [
      begin,
      {
        send: { ...error(ROUTER, NODE, forwarded), padding: 18, smac: PEER_MAC },
        verdict: 'redirect',
        becomes: { ...error(ROUTER, CLIENT, { ...asked, ttl: 63 }), ...toRouter },
      },
      { send: { ...error(ROUTER, NODE, forwarded, { quoteBytes: 4 }), padding: 18 }, verdict: 'pass' },
    ],
  },
  {
    description: 'to the client, from the backend itself: the service reports it, for UDP too',
    services: [{ ...toRemote, protocol: UDP }],
    backends: [{ ...REMOTE_BACKEND, protocol: UDP }],
    steps: [
      { send: udp(request), verdict: 'redirect', becomes: toPeer },
      {
        send: { ...error(REMOTE, NODE, udp(forwarded), { code: 3, mtu: 0 }), smac: PEER_MAC },
        verdict: 'redirect',
        becomes: { ...error(VIP, CLIENT, { ...udp(asked), ttl: 63 }, { code: 3, mtu: 0 }), ...toRouter },
      },
      {
        send: { ...error(REMOTE, NODE, { ...udp(forwarded), noChecksum: true }, { code: 3, mtu: 0 }), smac: PEER_MAC },
        verdict: 'redirect',
        becomes: {
          ...error(VIP, CLIENT, { ...udp(asked), ttl: 63, noChecksum: true }, { code: 3, mtu: 0 }),
          ...toRouter,
        },
      },
    ],
  },
  {
    description: 'to a backend elsewhere: path MTU of its answers; the node reports it, which is all the backend knows',
    ...snat,
    steps: [
      begin,
      { send: fromPeer, verdict: 'redirect', becomes: { src: VIP, dst: CLIENT, sport: 80, dport: 40000, ...toRouter } },
      {
        send: error(ROUTER, VIP, answered, whole),
        verdict: 'redirect',
        becomes: {
          ...error(NODE, REMOTE, { ...fromPeer, smac: '02:00:00:00:00:01' }, whole),
          ttl: 63,
          smac: toPeer.smac,
          dmac: toPeer.dmac,
        },
      },
    ],
  },
  {
    description: 'to a backend on this node: its answers, as the pod sent them; a router keeps its name',
    ...dnat,
    steps: [
      beginLocal,
      {
        send: error(ROUTER, VIP, answered),
        verdict: 'pass',
        becomes: error(ROUTER, POD, { ...localReply, flags: 'A' }),
      },
    ],
  },
  {
    description: 'from a pod, about a datagram that came from the port of Geneve: nothing is encapsulated in it',
    only: 'tc',
    steps: [
      {
        send: {
          ...podReply,
          proto: 'icmp',
          icmp: { type: 3, code: 3, quote: { src: CLIENT, dst: POD, proto: 'udp', sport: 6081, dport: 9999 } },
        },
        hook: 'pod',
        verdict: 'pass',
      },
    ],
  },
  {
    description: 'from a pod: the client hears it from the service',
    ...dnat,
    only: 'tc',
    steps: [
      beginLocal,
      {
        hook: 'pod',
        send: { ...error(POD, CLIENT, toPod, { code: 3, mtu: 0 }), smac: podReply.smac!, dmac: podReply.dmac! },
        verdict: 'redirect',
        becomes: { ...error(VIP, CLIENT, asked, { code: 3, mtu: 0 }), ...toRouter },
      },
      {
        hook: 'egress',
        send: error(POD, CLIENT, toPod, { code: 3, mtu: 0 }),
        verdict: 'pass',
        becomes: error(VIP, CLIENT, asked, { code: 3, mtu: 0 }),
      },
    ],
  },
  {
    description: 'of no flow, cut short, or quoting what another sent: left to the stack',
    ...snat,
    steps: [
      begin,
      { send: error(ROUTER, NODE, { ...forwarded, dport: 9 }), verdict: 'pass' },
      { send: error(ROUTER, NODE, forwarded, { quoteBytes: 4 }), verdict: 'pass' },
      { send: error(ROUTER, NODE, { ...forwarded, src: CLIENT }), verdict: 'pass' },
      { send: error(ROUTER, NODE, { ...forwarded, fragment: { offset: 100, more: false } }), verdict: 'pass' },
      { send: error(ROUTER, NODE, forwarded, { type: 5 }), verdict: 'pass' },
    ],
  },
  {
    description: 'an error is no sign of life',
    ...snat,
    steps: [
      begin,
      {
        before: (maps) =>
          maps.editFlows((_, value) => ({ ...value, last: value.last - 5, expires: value.expires - 5 })),
        send: { ...error(ROUTER, NODE, forwarded), smac: PEER_MAC },
        verdict: 'redirect',
        becomes: { ...error(ROUTER, CLIENT, { ...asked, ttl: 63 }), ...toRouter },
        check: (maps) => {
          const moved = maps.flows().some(([, { created, last }]) => last !== created - 5)
          if (moved) throw new Error('the flow was touched')
        },
      },
    ],
  },
]
