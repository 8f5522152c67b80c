import type { Case } from '../run.ts'
import type { PacketSpec } from '../packet.ts'
import { NODE, NODE_MAC, PEER_MAC, POD, POD_GATEWAY_MAC, POD_MAC, ROUTER_MAC } from '../world.ts'
import {
  LOCAL_BACKEND,
  podReply,
  REMOTE,
  REMOTE_BACKEND,
  reply,
  request,
  toLocal,
  toPeer,
  toRemote,
  UDP,
  VIP,
} from './common.ts'
import { OTHERWISE, SCARCE } from './settings.ts'

const JUMBO = 'x'.repeat(1600)
/** An empty segment is quoted as a whole: nothing is cut off, and a sum over the packet stays known. */
const empty: PacketSpec = { ...request, payload: '' }

/** The error that goes back where the packet came from. */
export function sent(from: string, quote: PacketSpec, type: number, code: number, mtu = 0): PacketSpec {
  const icmp = { type, code, mtu, quote, own: true }
  return {
    src: from,
    dst: quote.src,
    proto: 'icmp',
    icmp,
    ttl: 64,
    options: 0,
    tos: 0xc0,
    id: 0,
    smac: NODE_MAC,
    dmac: ROUTER_MAC,
  }
}

const noBackend = { services: [{ ...toRemote, backends: [] }] }
const refused = { verdict: 'redirect', counts: 'DROP_NO_SERVICE', flows: [] } as const
const silent = { verdict: 'drop', counts: 'DROP_NO_SERVICE', flows: [] } as const

export const ICMP_SENT: readonly Case[] = [
  {
    description: 'no backend: port unreachable, from the service address',
    ...noBackend,
    steps: [{ send: empty, ...refused, becomes: sent(VIP, empty, 3, 3) }],
  },
  {
    description: 'no backend: with data, with IP options, for UDP',
    services: [
      { ...toRemote, backends: [] },
      { ...toRemote, id: 2, protocol: UDP, backends: [] },
    ],
    cuts: true,
    steps: [
      { send: request, ...refused, becomes: sent(VIP, request, 3, 3) },
      { send: { ...request, options: 12 }, ...refused, becomes: sent(VIP, { ...request, options: 12 }, 3, 3) },
      { send: { ...request, proto: 'udp' }, ...refused, becomes: sent(VIP, { ...request, proto: 'udp' }, 3, 3) },
      {
        send: { ...request, proto: 'udp', noChecksum: true, payload: 'odd' },
        ...refused,
        becomes: sent(VIP, { ...request, proto: 'udp', payload: 'odd' }, 3, 3),
      },
    ],
  },
  {
    description: 'a slot that leads to no backend',
    services: [toRemote],
    steps: [{ send: empty, ...refused, becomes: sent(VIP, empty, 3, 3) }],
  },
  {
    description: 'no backend here, with externalTrafficPolicy Local: silence, another node may have some',
    services: [{ ...toRemote, backends: [], flags: ['LB', 'ROUTABLE', 'ETP_LOCAL'] }],
    steps: [{ send: request, ...silent }],
  },
  {
    description: 'no backend: silence where it is configured',
    ...noBackend,
    config: OTHERWISE,
    steps: [{ send: request, ...silent }],
  },
  {
    description: 'silence towards who cannot be answered',
    ...noBackend,
    steps: ['0.1.2.3', '127.0.0.1', '224.0.0.1', '255.255.255.255'].map((src) => ({
      send: { ...request, src },
      ...silent,
    })),
  },
  {
    description: 'no more than so many in a second',
    ...noBackend,
    config: SCARCE,
    steps: [{ send: request, ...silent }],
  },
  {
    description: 'TTL 1: time exceeded, from the node',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      {
        send: { ...empty, ttl: 1 },
        verdict: 'redirect',
        counts: 'DROP_TTL_EXCEEDED',
        becomes: sent(NODE, { ...empty, ttl: 1 }, 11, 0),
      },
    ],
  },
  {
    description: 'too big for the way to the backend: the client hears the MTU from the service',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    cuts: true,
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer },
      {
        send: { ...request, flags: 'A', payload: JUMBO },
        verdict: 'redirect',
        counts: 'DROP_FRAG_NEEDED',
        becomes: sent(VIP, { ...request, flags: 'A', payload: JUMBO }, 3, 4, 1500),
      },
      {
        send: { ...reply, flags: 'A', payload: JUMBO },
        verdict: 'redirect',
        counts: 'DROP_FRAG_NEEDED',
        becomes: { ...sent(NODE, { ...reply, flags: 'A', payload: JUMBO }, 3, 4, 1500), dst: REMOTE, dmac: PEER_MAC },
      },
    ],
  },
  {
    description: 'merged segments: what counts is whether one of them fits',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    only: 'tc',
    cuts: true,
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer },
      { send: { ...request, flags: 'A', payload: JUMBO }, segment: 1460, verdict: 'redirect', becomes: toPeer },
      {
        send: { ...request, flags: 'A', payload: JUMBO },
        segment: 1461,
        verdict: 'redirect',
        counts: 'DROP_FRAG_NEEDED',
        becomes: sent(VIP, { ...request, flags: 'A', payload: JUMBO }, 3, 4, 1500),
      },
    ],
  },
  {
    description: 'too big for the route, on a device that would take it',
    services: [toRemote],
    backends: [{ ...REMOTE_BACKEND, address: '10.7.0.1' }],
    cuts: true,
    steps: [
      {
        send: { ...request, payload: 'x'.repeat(1360) },
        verdict: 'redirect',
        becomes: { ...toPeer, dst: '10.7.0.1' },
      },
      {
        send: { ...request, payload: 'x'.repeat(1361) },
        verdict: 'redirect',
        counts: 'DROP_FRAG_NEEDED',
        becomes: sent(VIP, { ...request, payload: 'x'.repeat(1361) }, 3, 4, 1400),
      },
    ],
  },
  {
    description: 'too big an answer from a pod: back to the pod',
    services: [toLocal],
    backends: [LOCAL_BACKEND],
    endpoints: [POD],
    only: 'tc',
    cuts: true,
    steps: [
      { send: request, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
      {
        hook: 'pod',
        send: { ...podReply, flags: 'A', payload: JUMBO },
        verdict: 'redirect',
        counts: 'DROP_FRAG_NEEDED',
        becomes: {
          ...sent(NODE, { ...podReply, flags: 'A', payload: JUMBO }, 3, 4, 1500),
          smac: POD_GATEWAY_MAC,
          dmac: POD_MAC,
        },
      },
    ],
  },
  {
    description: 'nothing about an error',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer },
      {
        send: {
          src: '203.0.113.1',
          dst: NODE,
          proto: 'icmp',
          ttl: 1,
          icmp: { type: 3, code: 4, quote: { ...request, ...toPeer } },
        },
        verdict: 'drop',
        counts: 'DROP_TTL_EXCEEDED',
      },
    ],
  },
]
