import type { Case } from '../run.ts'
import { expectThat } from '../run.ts'
import { NODE, POD } from '../world.ts'
import { LOCAL_BACKEND, localReply, REMOTE_BACKEND, request, toLocal, toPeer, toRemote, UDP, VIP } from './common.ts'

const wildcard = { id: 9, address: VIP, port: 0, protocol: 0, flags: ['WILDCARD_DROP'], backends: [] } as const

export const REFUSE: readonly Case[] = [
  {
    description: 'what is for no service passes untouched',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: { ...request, dst: NODE, dport: 22 }, verdict: 'pass', flows: [] },
      { send: { ...request, dport: 81 }, verdict: 'pass' },
      { send: { ...request, proto: 'udp' }, verdict: 'pass' },
      { send: { ...request, proto: 'icmp' }, verdict: 'pass' },
      { send: { ...request, proto: 'sctp' }, verdict: 'pass' },
      { send: { ...request, etherType: 0x0806 }, verdict: 'pass' },
      { send: { ...request, etherType: 0x8100 }, verdict: 'pass' },
      { send: { ...request, etherType: 0x86dd }, verdict: 'pass' },
    ],
  },
  {
    description: 'on the way out, what is no answer passes untouched',
    only: 'tc',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer },
      { send: localReply, hook: 'egress', verdict: 'pass' },
      { send: request, hook: 'egress', verdict: 'pass' },
      { send: { ...request, cut: 40 }, hook: 'egress', verdict: 'pass' },
    ],
  },
  {
    description: 'from 0.0.0.0 nobody asks, wherever the backend is',
    services: [toLocal, { ...toRemote, id: 2, address: NODE }],
    backends: [LOCAL_BACKEND, REMOTE_BACKEND],
    steps: [VIP, NODE].map((dst) => ({ send: { ...request, src: '0.0.0.0', dst }, verdict: 'pass', flows: [] })),
  },
  {
    description: 'a SYN+ACK that answers no flow starts none, on an address kept for services it goes nowhere',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: { ...request, flags: 'SA' }, verdict: 'pass', flows: [] },
      { send: { ...request, dst: NODE, flags: 'SA' }, verdict: 'pass', flows: [] },
      {
        before: (maps) => maps.addService(wildcard),
        send: { ...request, flags: 'SA' },
        verdict: 'drop',
        counts: 'DROP_NO_SERVICE',
        flows: [],
      },
    ],
  },
  {
    description: 'on the way out, a SYN is no answer even where one would be translated',
    only: 'tc',
    services: [toLocal],
    backends: [LOCAL_BACKEND],
    endpoints: [POD],
    steps: [
      { send: request, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
      { send: { ...localReply, flags: 'S' }, hook: 'egress', verdict: 'pass' },
      { send: { ...localReply, flags: 'S' }, hook: 'pod', verdict: 'pass' },
      { send: localReply, hook: 'egress', verdict: 'pass', becomes: { src: VIP, sport: 80 } },
    ],
  },
  {
    description: 'answers of a backend on this node are not believed from outside',
    services: [toLocal],
    backends: [LOCAL_BACKEND],
    endpoints: [POD],
    steps: [
      { send: request, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
      { send: localReply, verdict: 'pass' },
    ],
  },
  {
    description: 'cluster IP from outside',
    services: [{ ...toRemote, flags: ['CLUSTER_IP'] }],
    backends: [REMOTE_BACKEND],
    steps: [{ send: request, verdict: 'drop', counts: 'DROP_CLUSTER_IP_FROM_OUTSIDE', flows: [] }],
  },
  {
    description: 'a frontend that is not routable and no cluster IP is left to the stack',
    services: [{ ...toRemote, flags: ['NODEPORT'] }],
    backends: [REMOTE_BACKEND],
    steps: [{ send: request, verdict: 'pass', flows: [] }],
  },
  {
    description: 'the inside view is not for packets from outside',
    services: [{ ...toRemote, scope: 'INT', flags: ['ROUTABLE', 'TWO_SCOPES'] }],
    backends: [REMOTE_BACKEND],
    steps: [{ send: request, verdict: 'pass', flows: [] }],
  },
  {
    description: 'an address kept for services: its frontend works, other ports, protocols and fragments are dropped',
    services: [toRemote, wildcard],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer },
      { send: { ...request, dport: 81 }, verdict: 'drop', counts: 'DROP_NO_SERVICE' },
      { send: { ...request, proto: 'udp' }, verdict: 'drop', counts: 'DROP_NO_SERVICE' },
      { send: { ...request, proto: 'icmp' }, verdict: 'drop', counts: 'DROP_NO_SERVICE' },
      { send: { ...request, proto: 'icmp', icmp: { type: 13 } }, verdict: 'drop', counts: 'DROP_NO_SERVICE' },
      { send: { ...request, proto: 'sctp' }, verdict: 'drop', counts: 'DROP_NO_SERVICE' },
      { send: { ...request, dst: NODE, proto: 'sctp' }, verdict: 'pass' },
      {
        send: { ...request, fragment: { offset: 100, more: false } },
        verdict: 'drop',
        counts: 'DROP_FRAG_NOT_FOUND',
      },
    ],
  },
  {
    description: 'frames that end too early',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      ...[14 + 20 + 19, 14 + 20 + 8, 14 + 20].map((cut) => ({
        send: { ...request, payload: '', cut },
        verdict: 'drop' as const,
        counts: 'DROP_INVALID_PACKET',
        flows: [],
      })),
      { send: { ...request, options: 40, cut: 14 + 60 }, verdict: 'drop', counts: 'DROP_INVALID_PACKET' },
    ],
  },
  {
    description: 'headers that contradict themselves',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: { ...request, ihl: 4 }, verdict: 'drop', counts: 'DROP_INVALID_PACKET' },
      { send: { ...request, ihl: 15, payload: '' }, verdict: 'drop', counts: 'DROP_INVALID_PACKET' },
      { send: { ...request, totalLength: 39 }, verdict: 'drop', counts: 'DROP_INVALID_PACKET' },
      { send: { ...request, totalLength: 0 }, verdict: 'drop', counts: 'DROP_INVALID_PACKET', flows: [] },
    ],
  },
  {
    description: 'lengths that promise more than there is, or less than they need themselves',
    services: [toRemote, { ...toRemote, id: 2, protocol: UDP }],
    backends: [REMOTE_BACKEND],
    steps: (
      [
        { totalLength: 45 },
        { totalLength: 1500 },
        { totalLength: 65535 },
        { cut: 14 + 43 },
        { proto: 'icmp', cut: 14 + 31 },
        { doff: 4 },
        { doff: 0 },
        { doff: 7 },
        { proto: 'udp', udpLength: 13 },
        { proto: 'udp', udpLength: 65535 },
        { proto: 'udp', udpLength: 7 },
        { proto: 'udp', udpLength: 0 },
        { proto: 'udp', totalLength: 31 },
        { proto: 'udp', fragment: { offset: 100, more: false }, totalLength: 99 },
        { proto: 'udp', fragment: { offset: 100, more: false }, totalLength: 19 },
      ] as const
    ).map((lie) => ({
      send: { ...request, ...lie },
      verdict: 'drop' as const,
      counts: 'DROP_INVALID_PACKET',
      flows: [],
    })),
  },
  {
    description:
      'lengths that are all right: a datagram shorter than its packet, a first fragment of a long one, padding',
    services: [toRemote, { ...toRemote, id: 2, protocol: UDP }],
    backends: [REMOTE_BACKEND],
    steps: (
      [
        { doff: 6 },
        { padding: 6 },
        { proto: 'udp', udpLength: 10 },
        { proto: 'udp', udpLength: 8 },
        { proto: 'udp', udpLength: 3000, fragment: { offset: 0, more: true } },
        { proto: 'tcp', doff: 15, fragment: { offset: 0, more: true }, sport: 40001 },
      ] as const
    ).map((lengths) => ({ send: { ...request, ...lengths }, verdict: 'redirect' as const, becomes: toPeer })),
  },
  {
    description: 'another version than the frame says',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [0x15, 0x25, 0x35].map((ihl) => ({
      send: { ...request, ihl },
      verdict: 'drop' as const,
      counts: 'DROP_INVALID_PACKET',
      flows: [],
    })),
  },
  {
    description: 'for one station in the packet and for several in the frame: not ours to forward',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01'].map((dmac) => ({
      send: { ...request, dmac },
      verdict: 'pass' as const,
      flows: [],
    })),
  },
  {
    description: 'counters count packets and bytes',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      {
        send: request,
        verdict: 'redirect',
        becomes: toPeer,
        check: (maps, out) => {
          const counter = maps.counters().get('REASON_FORWARDED')
          expectThat(counter !== undefined && counter.bytes >= out.length * counter.packets * 0.5, 'bytes not counted')
        },
      },
    ],
  },
]
