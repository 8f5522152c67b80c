import type { Case } from '../run.ts'
import { expectThat } from '../run.ts'
import { destinationPort } from '../packet.ts'
import { be32, NODE, NODE_MAC, PEER_MAC, POD } from '../world.ts'
import {
  CLIENT,
  LOCAL_BACKEND,
  localReply,
  podReply,
  REMOTE,
  REMOTE_BACKEND,
  replied,
  reply,
  request,
  toLocal,
  toPeer,
  toRemote,
  toRouter,
  UDP,
  VIP,
} from './common.ts'

const snatFlows = [
  `tcp ${CLIENT}:40000>${VIP}:80 => ${NODE}:40000>${REMOTE}:8080 SNAT 60s`,
  `tcp ${REMOTE}:8080>${NODE}:40000 => ${VIP}:80>${CLIENT}:40000 REV SNAT 60s`,
]
const udp = { proto: 'udp' } as const
const udpRemote = { services: [{ ...toRemote, protocol: UDP }], backends: [{ ...REMOTE_BACKEND, protocol: UDP }] }

export const FORWARD: readonly Case[] = [
  {
    description: 'backend on this node: destination rewritten, handed to the stack, client address kept',
    services: [toLocal],
    backends: [LOCAL_BACKEND],
    endpoints: [POD],
    steps: [
      {
        send: request,
        verdict: 'pass',
        becomes: { dst: POD, dport: 8080 },
        flows: [
          `tcp ${CLIENT}:40000>${VIP}:80 => ${CLIENT}:40000>${POD}:8080 LOCAL 60s`,
          `tcp ${POD}:8080>${CLIENT}:40000 => ${VIP}:80>${CLIENT}:40000 REV LOCAL 60s`,
        ],
      },
      { send: { ...request, flags: 'A' }, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
    ],
  },
  {
    description: 'answer of a backend on this node: service address as source on the way out of the uplink',
    services: [toLocal],
    backends: [LOCAL_BACKEND],
    endpoints: [POD],
    steps: [
      { send: request, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
      { send: localReply, hook: 'egress', verdict: 'pass', becomes: { src: VIP, sport: 80 } },
    ],
  },
  {
    description: 'answer straight from the pod: routed as from the service address',
    services: [toLocal],
    backends: [LOCAL_BACKEND],
    endpoints: [POD],
    steps: [
      { send: request, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
      { send: podReply, hook: 'pod', verdict: 'redirect', becomes: { src: VIP, sport: 80, ...toRouter } },
    ],
  },
  ...(['pod', 'egress'] as const).map((hook): Case => {
    const answer = hook === 'pod' ? podReply : localReply
    return {
      description: `a backend answers at ${hook} who connects to it from the port of a closed flow: the flow is forgotten`,
      services: [toLocal],
      backends: [LOCAL_BACKEND],
      endpoints: [POD],
      steps: [
        { send: request, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
        { send: { ...request, flags: 'R' }, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
        { send: answer, hook, verdict: 'pass', flows: [] },
        { send: { ...answer, flags: 'A' }, hook, verdict: 'pass' },
      ],
    }
  }),
  {
    description: 'other packets of a pod go their way',
    only: 'tc',
    steps: [
      { send: { ...podReply, dst: '203.0.113.9' }, hook: 'pod', verdict: 'pass' },
      { send: { ...podReply, proto: 'icmp' }, hook: 'pod', verdict: 'pass' },
    ],
  },
  {
    description: 'backend elsewhere: both addresses rewritten, client port kept, sent to the right neighbour',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer, flows: snatFlows },
      { send: { ...request, flags: 'A' }, verdict: 'redirect', becomes: toPeer },
    ],
  },
  {
    description: 'answer of a backend elsewhere: both addresses restored, routed to the client',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer },
      { send: reply, verdict: 'redirect', becomes: replied },
      { send: { ...reply, flags: 'AP', payload: 'x'.repeat(1000) }, verdict: 'redirect', becomes: replied },
    ],
  },
  {
    description: 'unknown neighbour: tc lets the kernel resolve it, XDP leaves the packet to tc',
    services: [toRemote],
    backends: [{ ...REMOTE_BACKEND, address: '10.9.0.7' }],
    steps: [
      {
        send: request,
        verdict: 'redirect',
        becomes: { ...toPeer, dst: '10.9.0.7', smac: '02:00:00:00:00:01', dmac: NODE_MAC },
        xdpVerdict: 'pass',
        counts: 'REASON_FORWARDED',
      },
    ],
  },
  {
    description: 'no route to the backend',
    services: [toRemote],
    backends: [{ ...REMOTE_BACKEND, address: '10.8.0.7' }],
    steps: [{ send: request, verdict: 'drop', counts: 'DROP_NO_FIB' }],
  },
  {
    description: 'no SNAT address configured',
    config: { cfg_snat_addr: be32('0.0.0.0') },
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [{ send: request, verdict: 'drop', counts: 'DROP_NAT_NO_MAPPING', flows: [] }],
  },
  {
    description: 'UDP there and back',
    ...udpRemote,
    steps: [
      {
        send: { ...request, ...udp },
        verdict: 'redirect',
        becomes: toPeer,
        flows: snatFlows.map((line) => line.replace('tcp', 'udp')),
      },
      { send: { ...reply, ...udp }, verdict: 'redirect', becomes: replied },
    ],
  },
  {
    description: 'UDP without checksum stays without',
    ...udpRemote,
    steps: [
      { send: { ...request, ...udp, noChecksum: true }, verdict: 'redirect', becomes: toPeer },
      { send: { ...reply, ...udp, noChecksum: true }, verdict: 'redirect', becomes: replied },
    ],
  },
  {
    description: 'UDP whose new checksum comes out as 0 is sent as 0xffff',
    ...udpRemote,
    steps: [
      {
        send: { ...request, ...udp, payload: payloadWithZeroSum() },
        verdict: 'redirect',
        becomes: toPeer,
        check: (_maps, out) => expectThat(out.readUInt16BE(40) === 0xffff, 'checksum is not 0xffff'),
      },
    ],
  },
  {
    description: 'only the port changes: addresses that sum up to the same',
    services: [{ ...toLocal, address: '10.0.0.46', port: 81 }],
    backends: [LOCAL_BACKEND],
    endpoints: [POD],
    steps: [{ send: { ...request, dst: POD, dport: 81 }, verdict: 'pass', becomes: { dport: 8080 } }],
  },
  {
    description: 'odd payload, type of service and IP options are left alone',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: { ...request, tos: 0x10, payload: 'odd' }, verdict: 'redirect', becomes: toPeer },
      { send: { ...request, options: 4 }, verdict: 'redirect', becomes: toPeer },
      { send: { ...request, options: 40, payload: '' }, verdict: 'redirect', becomes: toPeer },
    ],
  },
  {
    description: 'TTL: 2 is forwarded',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [{ send: { ...request, ttl: 2 }, verdict: 'redirect', becomes: { ...toPeer, ttl: 1 } }],
  },
  {
    description: 'without flow tracking the destination is rewritten and nothing is remembered',
    config: { cfg_track_flows: false },
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [{ send: request, verdict: 'redirect', becomes: { ...toPeer, src: CLIENT }, flows: [] }],
  },
  {
    description: 'test device: no routing table asked',
    config: { cfg_test_ifindex: 1 },
    services: [toRemote],
    backends: [{ ...REMOTE_BACKEND, address: '10.8.0.7' }],
    steps: [
      {
        send: request,
        verdict: 'redirect',
        becomes: { src: NODE, dst: '10.8.0.7', dport: 8080, ttl: 63 },
        check: (_maps, out) => expectThat(destinationPort(out) === 8080, 'port'),
      },
    ],
  },
  {
    description: 'frames for another station are not ours',
    only: 'tc',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [{ send: { ...request, dmac: PEER_MAC }, verdict: 'pass', flows: [] }],
  },
]

/** Two bytes that make the checksum of the packet that leaves (not of the one that comes) vanish. */
function payloadWithZeroSum(): Buffer {
  const words = [0xac12, 0x0002, 0x0a01, 0x00be, UDP, 10, 40000, 8080, 10]
  let total = words.reduce((sum, word) => sum + word, 0)
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  const missing = 0xffff - total
  return Buffer.from([missing >>> 8, missing & 255])
}
