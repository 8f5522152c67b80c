import type { Case } from '../run.ts'
import type { PacketSpec } from '../packet.ts'
import { NODE, POD } from '../world.ts'
import {
  LOCAL_BACKEND,
  localReply,
  REMOTE,
  REMOTE_BACKEND,
  request,
  reply,
  replied,
  toLocal,
  toPeer,
  toRemote,
  UDP,
  VIP,
} from './common.ts'

const udp = { ...request, proto: 'udp' } as const
const first = { offset: 0, more: true }
const middle = { offset: 185, more: true }
const last = { offset: 370, more: false }
const remote = { services: [{ ...toRemote, protocol: UDP }], backends: [{ ...REMOTE_BACKEND, protocol: UDP }] }
const local = {
  services: [{ ...toLocal, protocol: UDP }],
  backends: [{ ...LOCAL_BACKEND, protocol: UDP }],
  endpoints: [POD],
}
const kept = { id: 9, address: VIP, port: 0, protocol: 0, flags: ['WILDCARD_DROP'], backends: [] } as const
const answer: PacketSpec = { ...localReply, proto: 'udp' }
/** A later fragment has no ports to rewrite. */
const onlyAddresses = { ...toPeer, dport: 80 } as const

export const FRAGMENTS: readonly Case[] = [
  {
    description: 'in order: the first with its ports, the others with their addresses alone, all to one backend',
    ...remote,
    steps: [
      { send: { ...udp, fragment: first }, verdict: 'redirect', becomes: toPeer },
      { send: { ...udp, fragment: middle }, verdict: 'redirect', becomes: onlyAddresses },
      { send: { ...udp, fragment: last }, verdict: 'redirect', becomes: onlyAddresses },
    ],
  },
  {
    description: 'to a backend on this node, and its answer in fragments',
    ...local,
    only: 'tc',
    steps: [
      { send: { ...udp, fragment: first }, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
      { send: { ...udp, fragment: last }, verdict: 'pass', becomes: { dst: POD } },
      { send: { ...answer, fragment: first }, hook: 'egress', verdict: 'pass', becomes: { src: VIP, sport: 80 } },
      { send: { ...answer, fragment: last }, hook: 'egress', verdict: 'pass', becomes: { src: VIP } },
    ],
  },
  {
    description: 'the answer of a backend elsewhere',
    ...remote,
    steps: [
      { send: udp, verdict: 'redirect', becomes: toPeer },
      { send: { ...reply, proto: 'udp', fragment: first }, verdict: 'redirect', becomes: replied },
      { send: { ...reply, proto: 'udp', fragment: last }, verdict: 'redirect', becomes: replied },
    ],
  },
  {
    description: 'of TCP: a later one is no SYN, closes nothing and is not read as ports',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: { ...request, fragment: first }, verdict: 'redirect', becomes: toPeer },
      {
        send: { ...request, fragment: { offset: 1, more: true }, payload: '\x1c\x40\x00\x50'.padEnd(40, '\x07') },
        verdict: 'redirect',
        becomes: onlyAddresses,
      },
    ],
  },
  {
    description:
      'a later one without its first: dropped by name on an address kept for services, else the stack waits for it',
    services: [...remote.services, kept],
    backends: remote.backends,
    steps: [
      { send: { ...udp, fragment: last }, verdict: 'drop', counts: 'DROP_FRAG_NOT_FOUND', flows: [] },
      { send: { ...udp, dst: NODE, fragment: last }, verdict: 'pass', flows: [] },
      { send: { ...udp, dst: NODE, fragment: first }, verdict: 'pass', flows: [] },
    ],
  },
  {
    description: 'a later one whose flow is gone starts none',
    ...remote,
    steps: [
      { send: { ...udp, fragment: first }, verdict: 'redirect', becomes: toPeer },
      {
        before: (maps) => maps.editFlows(() => undefined),
        send: { ...udp, fragment: last },
        verdict: 'drop',
        counts: 'DROP_FRAG_NOT_FOUND',
        flows: [],
      },
    ],
  },
  {
    description: 'of another datagram of the same ends: nothing is known of it',
    services: remote.services,
    backends: [...remote.backends, { id: 3, address: REMOTE }],
    steps: [
      { send: { ...udp, fragment: first }, verdict: 'redirect', becomes: toPeer },
      { send: { ...request, fragment: last }, verdict: 'pass' },
    ],
  },
]
