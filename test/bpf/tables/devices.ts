import type { Case } from '../run.ts'
import { NODE, NODE2, NODE2_MAC, PEER2_MAC, PEER_MAC, POD } from '../world.ts'
import { sent } from './icmp-sent.ts'
import {
  CLIENT,
  LOCAL_BACKEND,
  REMOTE,
  REMOTE_BACKEND,
  reply,
  request,
  toLocal,
  toPeer,
  toRemote,
  VIP,
} from './common.ts'

const BEHIND_UP2 = '10.2.0.7'
const TWO = [
  { name: 'all', address: NODE, several: true },
  { name: 'up0', address: NODE, xdp: true },
] as const
const toPeer2 = { src: NODE2, dst: BEHIND_UP2, dport: 8080, ttl: 63, smac: NODE2_MAC, dmac: PEER2_MAC }
const behindUp2 = { services: [toRemote], backends: [{ ...REMOTE_BACKEND, address: BEHIND_UP2 }] }
const VLAN = 0x8100
const wildcard = { port: 0, protocol: 0, flags: ['WILDCARD_DROP'], backends: [] } as const
const tooBig = { ...reply, flags: 'A', payload: 'x'.repeat(1600) }

export const DEVICES: readonly Case[] = [
  {
    description: 'several uplinks: the source is the address of the device by which the route leaves',
    ...behindUp2,
    devices: [...TWO, { name: 'up2', address: NODE2, xdp: true }],
    steps: [
      {
        send: request,
        verdict: 'redirect',
        becomes: toPeer2,
        flows: [
          `tcp ${CLIENT}:40000>${VIP}:80 => ${NODE2}:40000>${BEHIND_UP2}:8080 SNAT 60s`,
          `tcp ${BEHIND_UP2}:8080>${NODE2}:40000 => ${VIP}:80>${CLIENT}:40000 REV SNAT 60s`,
        ],
      },
      { send: { ...request, flags: 'A' }, verdict: 'redirect', becomes: toPeer2 },
    ],
  },
  {
    description: 'several uplinks: a backend behind the first one sees the first address',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    devices: [...TWO, { name: 'up2', address: NODE2 }],
    steps: [{ send: request, verdict: 'redirect', becomes: toPeer }],
  },
  {
    description: 'several uplinks: each address of the node is its own, whatever else claims it',
    ownAddresses: [NODE, NODE2],
    services: [NODE, NODE2].map((own, i) => ({ ...wildcard, id: 8 + i, address: own })),
    devices: [...TWO, { name: 'up2', address: NODE2 }],
    steps: [NODE, NODE2].flatMap((dst) => [
      { send: { ...request, dst, dport: 22 }, verdict: 'pass' as const, flows: [] },
      { send: { ...request, dst, proto: 'sctp' as const }, verdict: 'pass' as const },
      { send: { ...request, dst, fragment: { offset: 9, more: false } }, verdict: 'pass' as const },
    ]),
  },
  {
    description: 'several uplinks: a SYN+ACK to a port of any of their addresses answers a socket of the node',
    ownAddresses: [NODE, NODE2],
    services: [NODE, NODE2].map((own, i) => ({ ...toRemote, id: 1 + i, address: own, port: 30080 })),
    backends: [REMOTE_BACKEND],
    devices: [...TWO, { name: 'up2', address: NODE2 }],
    steps: [NODE, NODE2].flatMap((dst, i) => [
      { send: { ...request, sport: 40000 + i, dst, dport: 30080 }, verdict: 'redirect' as const, becomes: toPeer },
      { send: { ...request, sport: 40000 + i, dst, dport: 30080, flags: 'SA' }, verdict: 'pass' as const },
    ]),
  },
  {
    description: 'several uplinks: a backend hears about its answers from the address that it sent them to',
    ...behindUp2,
    devices: [...TWO, { name: 'up2', address: NODE2, xdp: true }],
    cuts: true,
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer2 },
      {
        send: { ...tooBig, dst: NODE2, src: BEHIND_UP2 },
        verdict: 'redirect',
        counts: 'DROP_FRAG_NEEDED',
        becomes: { ...sent(NODE2, { ...tooBig, dst: NODE2, src: BEHIND_UP2 }, 3, 4, 1500), dmac: PEER_MAC },
      },
    ],
  },
  {
    description: 'a device without an address of its own: the address of all devices',
    ...behindUp2,
    devices: [...TWO, { name: 'up2', address: '0.0.0.0', xdp: true }],
    steps: [{ send: request, verdict: 'redirect', becomes: { ...toPeer2, src: NODE } }],
  },
  {
    description: 'one uplink: the map has the address that counts now, whatever it was at the start',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    devices: [{ name: 'all', address: '172.18.0.77' }],
    steps: [
      {
        send: request,
        verdict: 'redirect',
        becomes: { ...toPeer, src: '172.18.0.77' },
        flows: [
          `tcp ${CLIENT}:40000>${VIP}:80 => 172.18.0.77:40000>${REMOTE}:8080 SNAT 60s`,
          `tcp ${REMOTE}:8080>172.18.0.77:40000 => ${VIP}:80>${CLIENT}:40000 REV SNAT 60s`,
        ],
      },
    ],
  },
  {
    description: 'one address on all devices: no device is asked for it',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    devices: [
      { name: 'all', address: '172.18.0.77' },
      { name: 'sole', address: '172.18.0.78' },
    ],
    steps: [{ send: request, verdict: 'redirect', becomes: { ...toPeer, src: '172.18.0.78' } }],
  },
  {
    description: 'the way out is a device whose driver has no program of ours: XDP leaves the packet to tc',
    ...behindUp2,
    devices: [...TWO, { name: 'up2', address: NODE2 }],
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer2, xdpVerdict: 'pass' },
      { send: { ...request, flags: 'A' }, verdict: 'redirect', becomes: toPeer2, xdpVerdict: 'pass' },
    ],
  },
  {
    description: 'a VLAN tag in the frame: left to the device of that VLAN',
    services: [toLocal],
    backends: [LOCAL_BACKEND],
    endpoints: [POD],
    steps: [{ send: { ...request, etherType: VLAN }, verdict: 'pass', flows: [] }],
  },
]
