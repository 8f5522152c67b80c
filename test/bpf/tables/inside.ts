import type { Case, Step } from '../run.ts'
import type { PacketSpec } from '../packet.ts'
import type { ServiceSpec } from '../maps.ts'
import { sourcePort } from '../packet.ts'
import { expectThat } from '../run.ts'
import { NODE, NODE_MAC, PEER_MAC, POD, POD_GATEWAY_MAC, POD_MAC } from '../world.ts'
import { sent } from './icmp-sent.ts'
import { LOCAL_BACKEND, REMOTE, REMOTE2, REMOTE_BACKEND, REMOTE_BACKEND2, UDP, VIP } from './common.ts'

const CLUSTER_IP = '10.2.47.149'
const CLUSTER_IP2 = '10.2.47.150'
const HAIRPIN = '169.254.42.1'
/** Behind a route with an MTU of 1400. */
const NARROW = '10.7.0.7'
const jumbo: PacketSpec = { src: NODE, dst: CLUSTER_IP, sport: 20000, payload: 'x'.repeat(1380) }
const clusterIp: ServiceSpec = { id: 1, address: CLUSTER_IP, flags: ['CLUSTER_IP'], backends: [2] }
const itself: ServiceSpec = { ...clusterIp, backends: [1] }
const asked: PacketSpec = { src: POD, dst: CLUSTER_IP, smac: POD_MAC, dmac: POD_GATEWAY_MAC }
const translated = { dst: REMOTE, dport: 8080 }
const begin: Step = { send: asked, hook: 'pod', verdict: 'pass', becomes: translated }
const answer: PacketSpec = { src: REMOTE, dst: POD, sport: 8080, dport: 40000, flags: 'SA' }
const answered = { src: CLUSTER_IP, sport: 80 }
const remote = {
  services: [clusterIp],
  backends: [REMOTE_BACKEND, REMOTE_BACKEND2],
  endpoints: [POD],
  only: 'tc',
} as const
const own = { ...remote, services: [itself], backends: [LOCAL_BACKEND] } as const
const udp = (spec: PacketSpec): PacketSpec => ({ ...spec, proto: 'udp' })
const addNode: Step['before'] = (maps) => maps.addEndpoint(NODE, true)

/** Turned round, as it goes back to the pod. */
const back = { smac: POD_GATEWAY_MAC, dmac: POD_MAC }

export const INSIDE: readonly Case[] = [
  {
    description: 'a pod asks a cluster IP: the backend gets it, and the answer comes from the service',
    ...remote,
    steps: [
      {
        ...begin,
        flows: [
          `tcp ${POD}:40000>${CLUSTER_IP}:80 => ${POD}:40000>${REMOTE}:8080 CLIENT_HERE 60s`,
          `tcp ${REMOTE}:8080>${POD}:40000 => ${CLUSTER_IP}:80>${POD}:40000 REV CLIENT_HERE 60s`,
        ],
      },
      { send: answer, verdict: 'pass' },
      { send: answer, hook: 'to-pod', verdict: 'pass', becomes: answered },
      { ...begin, send: { ...asked, flags: 'A' } },
      { send: { ...answer, flags: 'R' }, hook: 'to-pod', verdict: 'pass', becomes: answered },
    ],
  },
  {
    description: 'a backend answers who connects to it from the port of a closed flow: the flow is forgotten',
    ...remote,
    steps: [
      begin,
      { send: { ...answer, flags: 'FA' }, hook: 'to-pod', verdict: 'pass', becomes: answered },
      { ...begin, send: { ...asked, flags: 'FA' } },
      { send: { ...answer, flags: 'A' }, hook: 'to-pod', verdict: 'pass', becomes: answered },
      { send: answer, hook: 'to-pod', verdict: 'pass', flows: [] },
      { send: { ...answer, flags: 'A' }, hook: 'to-pod', verdict: 'pass' },
    ],
  },
  {
    description: 'UDP, fragments, and ICMP errors from the way to the backend',
    ...remote,
    services: [{ ...clusterIp, protocol: UDP }],
    backends: [{ ...REMOTE_BACKEND, protocol: UDP }],
    steps: [
      { ...begin, send: { ...udp(asked), fragment: { offset: 0, more: true } } },
      { ...begin, send: { ...udp(asked), fragment: { offset: 185, more: false } }, becomes: { dst: REMOTE } },
      { send: udp(answer), hook: 'to-pod', verdict: 'pass', becomes: answered },
      {
        send: {
          ...{ src: '172.18.0.1', dst: POD, proto: 'icmp' },
          icmp: { type: 3, code: 4, mtu: 1400, quote: { ...udp(asked), ...translated } },
        },
        hook: 'to-pod',
        verdict: 'pass',
        becomes: { icmp: { type: 3, code: 4, mtu: 1400, quote: udp(asked) } },
      },
    ],
  },
  {
    description: 'where nobody on this node asks by packets, packets to pods are not looked at',
    ...remote,
    steps: [begin, { before: (maps) => maps.forgetClientsHere(), send: answer, hook: 'to-pod', verdict: 'pass' }],
  },
  {
    description: 'the view for inside, where there are two',
    ...remote,
    services: [
      { ...clusterIp, address: VIP, flags: ['LB', 'ROUTABLE', 'ETP_LOCAL', 'TWO_SCOPES'], backends: [] },
      { ...clusterIp, id: 2, address: VIP, flags: ['LB', 'ROUTABLE', 'ETP_LOCAL', 'TWO_SCOPES'], scope: 'INT' },
    ],
    steps: [{ ...begin, send: { ...asked, dst: VIP } }],
  },
  {
    description: 'an external IP is believed only where it is the node that has it',
    ...remote,
    services: [{ ...clusterIp, address: VIP, flags: ['EXT_IP', 'ROUTABLE'] }],
    steps: [
      { send: { ...asked, dst: VIP }, hook: 'pod', verdict: 'pass', flows: [] },
      { before: (maps) => maps.addEndpoint(VIP, true), ...begin, send: { ...asked, dst: VIP } },
    ],
  },
  {
    description: 'no backend: the pod hears it from the service; silence where a policy leaves others out',
    ...remote,
    services: [
      { ...clusterIp, backends: [] },
      { ...clusterIp, id: 2, address: CLUSTER_IP2, flags: ['CLUSTER_IP', 'ITP_LOCAL'], backends: [] },
    ],
    cuts: true,
    steps: [
      {
        send: { ...asked, payload: '' },
        hook: 'pod',
        verdict: 'redirect',
        counts: 'DROP_NO_SERVICE',
        becomes: {
          ...{ src: CLUSTER_IP, dst: POD, proto: 'icmp', ttl: 64, tos: 0xc0, id: 0, ...back },
          icmp: { type: 3, code: 3, quote: { ...asked, payload: '' }, own: true },
        },
        flows: [],
      },
      { send: { ...asked, dst: CLUSTER_IP2 }, hook: 'pod', verdict: 'drop', counts: 'DROP_NO_SERVICE', flows: [] },
    ],
  },
  {
    description: 'two services with one backend, asked from one port: the second answer comes to another port',
    ...remote,
    services: [clusterIp, { ...clusterIp, id: 2, address: CLUSTER_IP2 }],
    steps: [
      begin,
      {
        ...begin,
        send: { ...asked, dst: CLUSTER_IP2, flags: 'A' },
        becomes: { ...translated, sport: 'any' },
        check: (_maps, out) => expectThat(sourcePort(out) !== 40000, 'both flows have one port'),
      },
    ],
  },
  {
    description: 'a backend that is gone: the next packet chooses anew',
    ...remote,
    steps: [
      begin,
      {
        before: (maps) => {
          maps.removeBackend(2)
          maps.addService({ ...clusterIp, backends: [3] })
        },
        send: { ...asked, flags: 'A' },
        hook: 'pod',
        verdict: 'pass',
        becomes: { dst: REMOTE2, dport: 8080 },
        check: (maps) => expectThat(maps.flows().length === 2, 'the old flow is still there'),
      },
    ],
  },
  {
    description: 'a pod that is its own backend sees itself ask from a link-local address',
    ...own,
    steps: [
      {
        send: asked,
        hook: 'pod',
        verdict: 'redirect',
        becomes: { src: HAIRPIN, dst: POD, dport: 8080, ...back },
        flows: [
          `tcp ${POD}:40000>${CLUSTER_IP}:80 => ${HAIRPIN}:40000>${POD}:8080 HAIRPIN 60s`,
          `tcp ${POD}:8080>${HAIRPIN}:40000 => ${CLUSTER_IP}:80>${POD}:40000 REV HAIRPIN 60s`,
        ],
      },
      {
        send: { ...asked, dst: HAIRPIN, sport: 8080, dport: 40000, flags: 'SA' },
        hook: 'pod',
        verdict: 'redirect',
        becomes: { src: CLUSTER_IP, dst: POD, sport: 80, dport: 40000, ...back },
      },
      {
        send: { ...asked, flags: 'A' },
        hook: 'pod',
        verdict: 'redirect',
        becomes: { src: HAIRPIN, dst: POD, dport: 8080, ...back },
      },
    ],
  },
  {
    description: 'the same by a LoadBalancer address, over UDP',
    ...own,
    services: [{ ...itself, address: VIP, protocol: UDP, flags: ['LB', 'ROUTABLE'] }],
    backends: [{ ...LOCAL_BACKEND, protocol: UDP }],
    steps: [
      {
        send: udp({ ...asked, dst: VIP }),
        hook: 'pod',
        verdict: 'redirect',
        becomes: { src: HAIRPIN, dst: POD, dport: 8080, ...back },
      },
      {
        send: udp({ ...asked, dst: HAIRPIN, sport: 8080, dport: 40000 }),
        hook: 'pod',
        verdict: 'redirect',
        becomes: { src: VIP, dst: POD, sport: 80, dport: 40000, ...back },
      },
    ],
  },
  {
    description: 'the node itself asks by packets: to the backend at once, the answer goes up the stack',
    ...remote,
    steps: [
      {
        before: addNode,
        send: { src: NODE, dst: CLUSTER_IP, sport: 20000 },
        hook: 'egress',
        verdict: 'redirect',
        becomes: { ...translated, ttl: 63, smac: NODE_MAC, dmac: PEER_MAC },
      },
      {
        send: { ...answer, dst: NODE, dport: 20000 },
        verdict: 'pass',
        becomes: answered,
      },
    ],
  },
  {
    description: 'the node asks more than fits on the way: it hears so from the service',
    ...remote,
    backends: [{ ...REMOTE_BACKEND, address: NARROW }],
    cuts: true,
    steps: [
      {
        before: addNode,
        send: jumbo,
        hook: 'egress',
        verdict: 'redirect',
        counts: 'DROP_FRAG_NEEDED',
        becomes: { ...sent(CLUSTER_IP, jumbo, 3, 4, 1400), smac: NODE_MAC, dmac: '02:00:00:00:00:01' },
      },
    ],
  },
  {
    description: 'the node asks a service whose backend is a pod here',
    ...own,
    steps: [
      {
        before: addNode,
        send: { src: NODE, dst: CLUSTER_IP, sport: 20000 },
        hook: 'egress',
        verdict: 'redirect',
        becomes: { dst: POD, dport: 8080, ttl: 63, smac: POD_GATEWAY_MAC, dmac: POD_MAC },
      },
      {
        send: { ...asked, dst: NODE, sport: 8080, dport: 20000, flags: 'SA' },
        hook: 'pod',
        verdict: 'pass',
        becomes: { src: CLUSTER_IP, sport: 80 },
      },
    ],
  },
  {
    description: 'what is for no service passes, and nobody from outside speaks for a pod',
    ...remote,
    steps: [
      { send: { ...asked, dport: 81 }, hook: 'pod', verdict: 'pass', flows: [] },
      { send: { ...asked, flags: 'SA' }, hook: 'pod', verdict: 'pass', flows: [] },
      begin,
      { send: { ...asked, dmac: NODE_MAC }, verdict: 'pass' },
    ],
  },
]
